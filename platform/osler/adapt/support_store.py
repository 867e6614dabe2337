"""Which studies a patch was fitted on: kept beside the patches, so that nobody measures a patch on its own patients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from osler.adapt.patch import support_digest
from osler.files import write_atomically

FOLDER = "supports"


@dataclass(frozen=True)
class SupportStore:
    """Supports by their digest, below the folder of the patches."""

    patches: Path

    def keep(self, study_uids: Sequence[str]) -> Path:
        """Write the pseudonymous UIDs of a support under the digest that its patches bear."""
        path = self._path(support_digest(study_uids))
        write_atomically(path, (json.dumps(sorted(study_uids), indent=1) + "\n").encode())
        return path

    def of(self, digest: str) -> tuple[str, ...] | None:
        """Return the UIDs of a support, None where it is not held, or no longer whole."""
        try:
            uids = tuple(str(one) for one in json.loads(self._path(digest).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return uids if support_digest(uids) == digest else None

    def _path(self, digest: str) -> Path:
        return self.patches / FOLDER / f"{digest}.json"
