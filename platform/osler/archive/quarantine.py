"""The quarantine: refused files, untouched, each with its reason beside it.

`<sha256>.dcm` is the file as it came, patient values included: the folder is to be guarded like the source. The reason,
`<sha256>.json`, holds none. What cannot be read has a reason only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


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
    """

    sha256: str
    code: str
    detail: str
    also: tuple[str, ...]
    mend: str
    site: str
    contract: str
    kept: bool


class Quarantine:
    """The quarantine of a workspace, at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, reason: Reason, source: Path | None) -> None:
        """Keep a refused file and its reason; the file first, so that no reason stands alone after a crash."""
        if source is not None and not self.file(reason.sha256).exists():
            write_atomically(self.file(reason.sha256), source.read_bytes())
        text = json.dumps(asdict(reason), indent=2, sort_keys=True) + "\n"
        write_atomically(self._folder / f"{reason.sha256}.json", text.encode())

    def release(self, sha256: str) -> None:
        """Forget a file that has been accepted since."""
        (self._folder / f"{sha256}.json").unlink(missing_ok=True)
        self.file(sha256).unlink(missing_ok=True)

    def file(self, sha256: str) -> Path:
        """Return where a refused file lies."""
        return self._folder / f"{sha256}.dcm"

    def reasons(self, code: str | None = None) -> list[Reason]:
        """Return the reasons of all refused files, or of those with one code, ordered by hash."""
        found = [_load(path) for path in sorted(self._folder.glob("*.json"))]
        return [reason for reason in found if code in (None, reason.code)]

    def reason(self, start: str) -> Reason:
        """Return the reason of the one file whose hash begins so.

        Raises:
            OslerError: `unknown-file` where none or several do.
        """
        valid = start and all(character in "0123456789abcdef" for character in start)
        paths = sorted(self._folder.glob(f"{start}*.json")) if valid else []
        if len(paths) != 1:
            raise OslerError(
                Code.UNKNOWN_FILE,
                f"{len(paths)} files in quarantine have a hash that begins with this.",
                "Take the hash from `osler quarantine list`; its first digits are enough.",
            )
        return _load(paths[0])


def _load(path: Path) -> Reason:
    data = json.loads(path.read_text(encoding="utf-8"))
    return Reason(**data | {"also": tuple(data["also"])})
