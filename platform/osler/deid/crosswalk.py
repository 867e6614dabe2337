"""The crosswalk: the only way back from pseudonyms to patients. Encrypted, outside the workspace, with a key of its own.

One line a record: the kind and pseudonym as a keyed hash, a nonce, and the originals under AES-256-GCM, bound to that
hash. Lines are appended under a lock and synced before what they speak of enters the archive; a line that a crash cut
off is passed over and closed by the next. Whoever holds the file without its key learns how many lines it has.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from osler import audit
from osler.deid.key import load_key
from osler.deid.links import Link
from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

VARIABLE = "OSLER_CROSSWALK_KEY_FILE"
NONCE_BYTES = 12
FOUND_BY = ("PatientID", "AccessionNumber")  # what a hospital looks its patients and studies up by


def default_crosswalk_key() -> Path:
    """Return the path in OSLER_CROSSWALK_KEY_FILE, else `crosswalk.key` in the user's configuration folder."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".config" / "osler" / "crosswalk.key"


class Crosswalk:
    """A crosswalk file.

    Args:
        path: The file, outside the workspace; made, readable by its owner alone, with the first record.
        key: 32 bytes, from `load_key`; not the key of the pseudonyms.
        workspace: The workspace that it belongs to.

    Raises:
        OslerError: `crosswalk-invalid` where the file lies inside the workspace or can be read by others.
    """

    def __init__(self, path: Path, key: bytes, workspace: Workspace) -> None:
        self._path = path.expanduser().resolve()
        if self._path.is_relative_to(workspace.root):
            raise _invalid("The crosswalk lies inside the workspace.", "Keep it where the data is not.")
        if self._path.exists() and self._path.stat().st_mode & 0o077:
            raise _invalid("The crosswalk is open to other users.", "Run `chmod 600` on it.")
        self._cipher = AESGCM(hmac.new(key, b"records", sha256).digest())
        self._index_key = hmac.new(key, b"index", sha256).digest()
        self._workspace = workspace
        self._known: set[str] = set()
        self._read = 0
        # Where the lines of a pseudonym begin, for the watch asks of study after study; where the last of them begins, and
        # that line, for `forget` of another process moves lines.
        self._places: dict[str, list[int]] = {}
        self._last = (0, b"")

    def add(self, links: Iterable[Link]) -> int:
        """Append the links that the file does not hold yet, and return how many; they are on disk when this returns.

        Raises:
            OslerError: `disk-full`; `crosswalk-invalid` for a file that another key made.
        """
        links = list(links)
        try:
            with self._locked(create=True) as stream:
                self._catch_up(stream)
                fresh = {self._seal_name(link): link for link in links}
                lines = [self._line(name, link) for name, link in fresh.items() if name not in self._known]
                stream.seek(0, os.SEEK_END)
                stream.write(b"".join(lines))
                stream.flush()
                os.fsync(stream.fileno())
                self._known |= fresh.keys()
                self._read = stream.tell()
                return len(lines)
        except OSError as error:
            raise from_os_error(error) from None

    def look_up(self, pseudonym: str, *, actor: str, reason: str) -> list[Link]:
        """Return what a pseudonym stands for. The look-up is audited before anything is read.

        Raises:
            OslerError: `unknown-pseudonym`; `usage` without a name and a reason; `crosswalk-invalid`.
        """
        self._audit(pseudonym, actor, reason)
        found = self._links_of({pseudonym})
        if not found:
            raise OslerError(
                Code.UNKNOWN_PSEUDONYM,
                "The crosswalk holds no such pseudonym.",
                "Take it from `osler archive list`: a patient's, or the UID of a study, series or instance.",
            )
        return _merged(found)

    def look_up_all(self, pseudonyms: Iterable[str], *, subject: str, actor: str, reason: str) -> list[Link]:
        """Return what is known of several pseudonyms of one study, by one reading and one entry of the audit log.

        Args:
            pseudonyms: What to look up; those that the file does not hold are left out.
            subject: Pseudonymous UID of the study that they belong to.
            actor: Who asks.
            reason: Why.

        Raises:
            OslerError: `usage` without a name and a reason; `crosswalk-invalid`.
        """
        self._audit(subject, actor, reason)
        return _merged(self._links_of(set(pseudonyms)))

    def find(self, identifier: str, *, actor: str, reason: str) -> list[Link]:
        """Return the patients, or studies, that the hospital knows by an identifier; none where the file has no such one.

        The look-up is audited before anything is read, under a keyed hash: a hospital has few enough numbers to try all.

        Args:
            identifier: A Patient ID (0010,0020) or an Accession Number (0008,0050), as the hospital writes it.
            actor: Who asks.
            reason: Why.

        Raises:
            OslerError: `usage` without an identifier, a name and a reason; `crosswalk-invalid`.
        """
        wanted = identifier.strip()
        if not wanted:
            raise OslerError(Code.USAGE, "A look-up needs an identifier.", "Give a patient ID or an accession number.")
        asked = hmac.new(self._index_key, b"find " + wanted.encode(), sha256).hexdigest()
        self._audit(asked, actor, reason, "crosswalk.find")
        return _merged(link for link in self._links() if wanted in (link.originals.get(name) for name in FOUND_BY))

    def originals(self) -> frozenset[str]:
        """Return every original value: for `osler archive verify` alone, which writes none of them anywhere."""
        return frozenset(value for link in self._links() for value in link.originals.values() if value)

    def forget(self, patient: str) -> int:
        """Remove a patient's records by writing the file anew, and return how many there were."""
        with self._locked(create=False) as stream:
            lines = [line for line in stream if line.endswith(b"\n")]
            kept = [line for line in lines if self._open(line).patient != patient]
            if len(kept) < len(lines):
                write_atomically(self._path, b"".join(kept))
                self._path.chmod(0o600)
                self._known, self._read = set(), 0
                self._places, self._last = {}, (0, b"")
            return len(lines) - len(kept)

    def _audit(self, subject: str, actor: str, reason: str, action: str = "crosswalk.look-up") -> None:
        if not reason.strip():
            raise OslerError(Code.USAGE, "A look-up needs a reason.", "Say why with --reason.")
        # The name of what was asked for goes in as a hash: a person may have typed a patient's own number.
        asked = sha256(subject.encode()).hexdigest()
        audit.record(self._workspace, actor=actor, action=action, subject=asked, details={"reason": reason})

    def _links(self) -> Iterator[Link]:
        with self._locked(create=False) as stream:
            yield from (self._open(line) for line in stream if line.endswith(b"\n"))

    def _links_of(self, pseudonyms: set[str]) -> list[Link]:
        """Return the links of pseudonyms in the order of the file, of which only what is new is read through."""
        with self._locked(create=False) as stream:
            place, last = self._last
            stream.seek(place)
            if stream.read(len(last)) != last:
                self._places, self._last = {}, (0, b"")
            place = stream.seek(self._last[0] + len(self._last[1]))
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._places.setdefault(self._open(line).pseudonym, []).append(place)
                self._last = (place, line)
                place += len(line)
            found = []
            for start in sorted(one for name in pseudonyms for one in self._places.get(name, ())):
                stream.seek(start)
                found.append(self._open(stream.readline()))
            return found

    @contextmanager
    def _locked(self, *, create: bool) -> Iterator[BinaryIO]:
        """Hold the lock beside the file, not on it: `forget` puts another file in its place."""
        if not create and not self._path.exists():
            raise _invalid("There is no crosswalk.", "Name the file with --crosswalk; `osler ingest` makes it.")
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(lock, "r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            flags = os.O_RDWR | (os.O_CREAT if create else 0)
            with os.fdopen(os.open(self._path, flags, 0o600), "r+b") as stream:
                yield stream

    def _catch_up(self, stream: BinaryIO) -> None:
        """Note what others have appended, and cut off what a crash left of a line."""
        size = stream.seek(0, os.SEEK_END)
        if size < self._read:
            self._known, self._read = set(), 0
        stream.seek(self._read)
        for line in stream:
            if not line.endswith(b"\n"):
                stream.truncate(size - len(line))
                return
            if not self._known:
                self._open(line)  # a file that another key made is found before anything is added
            self._known.add(line[:64].decode("ascii", "replace"))

    def _seal_name(self, link: Link) -> str:
        """Return the keyed hash of all that a link says, by which duplicates are known."""
        return hmac.new(self._index_key, _plain(link), sha256).hexdigest()

    def _line(self, name: str, link: Link) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, _plain(link), name.encode())
        return name.encode() + b" " + b64encode(nonce + sealed) + b"\n"

    def _open(self, line: bytes) -> Link:
        try:
            name, _, sealed = line.rstrip(b"\n").partition(b" ")
            content = b64decode(sealed, validate=True)
            plain = self._cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], name)
            return Link(**json.loads(plain))
        except (InvalidTag, ValueError, TypeError):
            raise _invalid(
                "A record of the crosswalk cannot be opened with this key.",
                f"Name the right key with --crosswalk-key or {VARIABLE}; if it is, the file was changed.",
            ) from None


def open_crosswalk(
    path: Path, workspace: Workspace, *, key_file: Path | None = None, create: bool = False
) -> Crosswalk:
    """Open a crosswalk with its own key file.

    Raises:
        OslerError: `key-invalid` as `load_key`; `crosswalk-invalid`.
    """
    key_path = key_file or default_crosswalk_key()
    if key_path.expanduser().resolve().parent == path.expanduser().resolve().parent:
        raise _invalid("The crosswalk lies beside its key.", "Keep them in different folders: one is no use alone.")
    return Crosswalk(path, load_key(key_path, create=create, workspace=workspace.root), workspace)


def _merged(links: Iterable[Link]) -> list[Link]:
    """Return one link for each pseudonym; where records differ, the last one counts."""
    merged: dict[tuple[str, str, str], dict[str, str]] = {}
    for link in links:
        merged.setdefault((link.kind, link.pseudonym, link.patient), {}).update(link.originals)
    return [Link(kind, pseudonym, patient, values) for (kind, pseudonym, patient), values in merged.items()]


def _plain(link: Link) -> bytes:
    record = {
        "kind": link.kind,
        "pseudonym": link.pseudonym,
        "patient": link.patient,
        "originals": dict(link.originals),
    }
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.CROSSWALK_INVALID, message, mend)
