"""The quarantine: refused files, untouched, each with its reason beside it.

`<sha256>.dcm` is the file as it came, patient values included: the folder is to be guarded like the source. The reason,
`<sha256>.json`, holds none. What cannot be read has a reason only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from osler.files import move_synced, write_atomically
from osler_contracts.codes import Code
from osler_contracts.contract import Severity
from osler_contracts.errors import OslerError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Reason:
    """Why a file was refused.

    Attributes:
        sha256: Hash of its content, or of its path where it could not be read.
        code: The gravest reason.
        detail: The reasons in words, without values of the file.
        also: Codes of the other reasons.
        mend: What to do.
        site: Where it came from.
        contract: Contract that judged it.
        kept: Whether the file itself is in the quarantine.
        severity: `refuse`, or `quarantine` where a person may release it; empty where an earlier version wrote it.
        first_seen: When it was received first, ISO 8601 in UTC; empty where an earlier version wrote it.
        last_seen: When it was received last.
        times: How often it was received.
    """

    sha256: str
    code: str
    detail: str
    also: tuple[str, ...]
    mend: str
    site: str
    contract: str
    kept: bool
    severity: str = ""
    # When files come is no part of the reason: two runs over the same source give equal reasons.
    first_seen: str = field(default="", compare=False)
    last_seen: str = field(default="", compare=False)
    times: int = field(default=1, compare=False)

    @property
    def releasable(self) -> bool:
        """Whether a person may ask for its release; the pipeline judges it again then, and decides."""
        return self.kept and self.severity != str(Severity.REFUSE)


class Quarantine:
    """The quarantine of a workspace, at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, reason: Reason, source: Path | None) -> None:
        """Keep a refused file and its reason; the file first, so that no reason stands alone after a crash.

        A file of the quarantine itself that was judged again has its new reason, and was not received again.

        Raises:
            OSError: Where the workspace cannot be written.
        """
        kept = source is not None and (self.file(reason.sha256).exists() or self._copy(source, reason.sha256))
        again = source is not None and source.absolute() == self.file(reason.sha256).absolute()
        text = json.dumps(asdict(self._dated(replace(reason, kept=kept), again)), indent=2, sort_keys=True) + "\n"
        write_atomically(self._reason(reason.sha256), text.encode())

    def release(self, sha256: str) -> None:
        """Forget a file that has been accepted since, or was discarded.

        The reason goes last: after a crash in between it still tells that there is something to finish.
        """
        self.file(sha256).unlink(missing_ok=True)
        self._reason(sha256).unlink(missing_ok=True)

    def file(self, sha256: str) -> Path:
        """Return where a refused file lies."""
        return self._folder / f"{sha256}.dcm"

    def __iter__(self) -> Iterator[Reason]:
        """Yield the reasons of all refused files one at a time, ordered by hash."""
        for name in sorted(path.name for path in self._folder.glob("*.json")):
            yield _load(self._folder / name)

    def reasons(self, code: str | None = None) -> list[Reason]:
        """Return the reasons of all refused files, or of those with one code, ordered by hash."""
        return [reason for reason in self if code in (None, reason.code)]

    def reason(self, start: str) -> Reason:
        """Return the reason of the one file whose hash begins so.

        Raises:
            OslerError: `unknown-file` where none or several do.
        """
        found = self.matching(start)
        if len(found) != 1:
            raise OslerError(
                Code.UNKNOWN_FILE,
                f"{len(found)} files in quarantine have a hash that begins with this.",
                "Take the hash from `osler quarantine list`; its first digits are enough.",
            )
        return _load(self._reason(found[0]))

    def matching(self, start: str) -> list[str]:
        """Return the hashes of the refused files that begin so."""
        return sorted(path.stem for path in self._folder.glob(f"{start}*.json")) if is_hash_start(start) else []

    def _reason(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"

    def _dated(self, reason: Reason, again: bool) -> Reason:
        """Return the reason with when the file came and how often, counted on from the one before."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        path = self._reason(reason.sha256)
        if not path.exists():
            return replace(reason, first_seen=now, last_seen=now, times=1)
        before = _load(path)
        if again:
            return replace(reason, first_seen=before.first_seen, last_seen=before.last_seen, times=before.times)
        return replace(reason, first_seen=before.first_seen or now, last_seen=now, times=before.times + 1)

    def _copy(self, source: Path, sha256: str) -> bool:
        """Copy a file piece by piece; return whether it still had the content that was judged."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{sha256}.part"
        digest = hashlib.sha256()
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                for piece in _pieces(source):
                    digest.update(piece)
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            if digest.hexdigest() == sha256:
                move_synced(part, self.file(sha256))
        finally:
            part.unlink(missing_ok=True)
        return digest.hexdigest() == sha256


def is_hash_start(text: str) -> bool:
    """Return whether a text is the beginning of a hash, and so safe in a file name."""
    return bool(text) and all(character in "0123456789abcdef" for character in text)


def _pieces(source: Path) -> Iterator[bytes]:
    """Yield a file's content; it ends early where the source has gone, which the hash then shows."""
    try:
        with source.open("rb") as stream:
            while piece := stream.read(CHUNK):
                yield piece
    except OSError:
        return


def _load(path: Path) -> Reason:
    """Read a reason, of an earlier version too."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {name: data[name] for name in (part.name for part in fields(Reason)) if name in data}
        return Reason(**known | {"also": tuple(data["also"])})
    except (ValueError, TypeError, KeyError):
        raise OslerError(
            Code.WORKSPACE_INVALID,
            f"{path.name} of the quarantine is not a reason as Osler writes it.",
            "Remove it, and ingest the file's source again.",
        ) from None
