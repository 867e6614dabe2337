"""The list of a package: every file with its hash and size, the model's digest, and under which licences its parts stand.

The manifest is sealed (`osler.seals`), so that its own hash names the package: who was told that hash by another way knows
that nothing in between was changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from osler.seals import SEAL, SealError, opened, sealed, written
from osler.zips import leads_out
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT = "osler-model/1"
MANIFEST = "manifest.json"
MODELS = "models"
MOST_FILES = 2000
# What a package may hold: text and plain numbers. Whatever can carry code when it is read has no place in one.
ENDINGS = (".json", ".safetensors", ".md", ".txt")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Held:
    """One file: its SHA-256 and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Licence:
    """Under which terms a part stands, as its maker states them.

    Attributes:
        part: Which part.
        terms: The licence; empty where nobody stated one.
        count: Number of passages, 0 for what is no text.
    """

    part: str
    terms: str
    count: int = 0


@dataclass(frozen=True)
class Manifest:
    """What a package holds.

    Attributes:
        name: Name of the model where it was exported.
        model: Digest of the model.
        encoder: Digest of its encoder.
        encoder_name: Name of an encoder that comes with Osler, empty where the package carries it.
        files: Every other file by its path in the package.
        licences: Terms of its parts.
    """

    name: str
    model: str
    encoder: str
    encoder_name: str
    files: Mapping[str, Held]
    licences: tuple[Licence, ...]

    @property
    def record(self) -> dict[str, Any]:
        """The content of the file, without its seal."""
        return {"format": FORMAT, **asdict(self)}

    @property
    def digest(self) -> str:
        """Its seal: the SHA-256 that names the package."""
        return str(sealed(self.record)[SEAL])

    def to_bytes(self) -> bytes:
        """Return the file; the same package gives the same bytes."""
        return written(self.record)

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read the file.

        Raises:
            OslerError: `model-invalid` for another format, `model-hash-mismatch` where it was changed, `path-outside` where it
                names a file outside the package.
        """
        try:
            record = opened(content, FORMAT)
            record.pop("format")
            files = {path: Held(**held) for path, held in record.pop("files").items()}
            licences = tuple(Licence(**one) for one in record.pop("licences"))
            manifest = cls(files=files, licences=licences, **record)
            digests = [manifest.model, manifest.encoder, *(one.sha256 for one in files.values())]
            if not all(_SHA256.fullmatch(one) for one in digests) or not NAME.fullmatch(manifest.name):
                raise ValueError("no digests")
        except SealError as error:
            raise changed(MANIFEST) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OslerError(
                Code.MODEL_INVALID,
                f"{MANIFEST} is not of format {FORMAT}.",
                "Name a package that `osler model export` of this version wrote.",
            ) from error
        check_names(files)
        return manifest


def changed(path: str) -> OslerError:
    """Return the error for a file of a package that is not the one that was exported."""
    return OslerError(
        Code.MODEL_HASH_MISMATCH,
        f"{path} in the package is not the file that was exported.",
        "Fetch the package again from its source; do not use it as it is.",
    )


def leads_away(path: str) -> OslerError:
    """Return the error for a name that is absolute or climbs."""
    return OslerError(Code.PATH_OUTSIDE, f"{path!a} leads out of the package.", "Do not use it; tell who sent it.")


def check_names(paths: Iterable[str]) -> None:
    """Refuse names that two systems may read in two ways.

    Raises:
        OslerError: `path-outside` for an absolute or climbing name; `model-invalid` for another name, two names that differ by
            case alone, or a kind of file that no package holds. The message names the file.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if leads_out(path):
            raise leads_away(path)
        if not all(_PART.fullmatch(part) for part in path.split("/")) or not path.endswith(ENDINGS):
            raise _odd(f"{path!a} is no file of a model.")
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise _odd(f"{path!a} and {other!a} differ by case alone.")
    for path in seen:
        above = [str(one) for one in PurePosixPath(path).parents]
        if any(one in seen for one in above):
            raise _odd(f"{path!a} lies below a file.")
    if len(seen) > MOST_FILES:
        raise _odd(f"The package has {len(seen)} files; at most {MOST_FILES} are taken.")


def _odd(message: str) -> OslerError:
    return OslerError(Code.MODEL_INVALID, message, "Name a package that `osler model export` wrote.")
