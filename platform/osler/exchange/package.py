"""A package on disk: a folder, or a zip with the same files; the same content always gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.exchange.manifest import MANIFEST, MOST_FILES, Held, Manifest, changed, check_names, leads_away
from osler.files import move_synced
from osler.zips import CHUNK, DAMAGE, LimitedZip, is_plain_file, leads_out
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

ZIP = ".zip"
# The first day that a zip can tell: the day of an export is no part of what is exported.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
LARGEST_MANIFEST = 4 << 20  # bytes
Files = Mapping[str, Path | bytes]


def held(content: Path | bytes) -> Held:
    """Return hash and size of a file, or of what one will hold."""
    if isinstance(content, Path):
        return Held(sha256_of(content), content.stat().st_size)
    return Held(hashlib.sha256(content).hexdigest(), len(content))


def write_package(files: Files, target: Path, top: str) -> None:
    """Write a package, whole or not at all; a name that ends in `.zip` makes a zip, any other a folder.

    Args:
        files: What goes in by its path: a file at hand, or its content.
        target: Where to; nothing may be there.
        top: The one folder that a zip unpacks to.

    Raises:
        OslerError: `usage` where something is there; `disk-full` and the like.
    """
    if target.exists() or target.is_symlink():
        raise OslerError(Code.USAGE, f"{target} is there already.", "Name a file or folder that is not there yet.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as scratch:
            fresh = Path(scratch) / "new"
            if target.suffix.lower() == ZIP:
                _write_zip({f"{top}/{path}": content for path, content in files.items()}, fresh)
            else:
                _write_folder(files, fresh)
            move_synced(fresh, target)
    except OSError as error:
        raise from_os_error(error) from error


def _write_folder(files: Files, folder: Path) -> None:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, place)
        else:
            place.write_bytes(content)


def _write_zip(files: Files, path: Path) -> None:
    # Stored, not compressed: another version of zlib gives other bytes, and weights hardly shrink.
    with path.open("wb") as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as package:
            for name in sorted(files, key=lambda one: (not one.endswith(f"/{MANIFEST}"), one)):
                _write_member(package, name, files[name])
        stream.flush()
        os.fsync(stream.fileno())


def _write_member(package: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    member = zipfile.ZipInfo(name, _NO_DATE)
    member.create_system, member.external_attr = 3, 0o100644 << 16
    if isinstance(content, bytes):
        package.writestr(member, content)
        return
    member.file_size = content.stat().st_size
    with content.open("rb") as source, package.open(member, "w") as target:
        shutil.copyfileobj(source, target, CHUNK)


@contextmanager
def unpacked(path: Path, into: Path) -> Iterator[tuple[Path, Manifest]]:
    """Open a package: its files, checked one by one against the manifest, in a folder of their own below `into`.

    Args:
        path: A zip or a folder.
        into: Where the folder is made; it is removed in the end with all that is still in it.

    Yields:
        The folder and the manifest.

    Raises:
        OslerError: `source-missing`, `source-invalid`, `zip-bomb`, `zip-damaged`, `zip-encrypted`, `path-outside`;
            `model-hash-mismatch` for a file that was changed, `model-invalid` for one that is missing, too many, a link, or of
            another kind, and for another format. The message names the file.
    """
    try:
        with tempfile.TemporaryDirectory(dir=into, prefix=".opening-") as scratch:
            fresh = Path(scratch) / "package"
            fresh.mkdir()
            manifest = (_from_folder if path.is_dir() else _from_zip)(path, fresh)
            yield fresh, manifest
    except OSError as error:
        raise from_os_error(error) from error


def _from_zip(path: Path, fresh: Path) -> Manifest:
    with LimitedZip(path, most=MOST_FILES + 1) as package:
        members = _members(package)
        listed = members.get(MANIFEST)
        if listed is None:
            raise _lacks(MANIFEST)
        if listed.file_size > LARGEST_MANIFEST:
            raise _too_large(MANIFEST)
        manifest = Manifest.from_bytes(b"".join(_chunks(package, listed)))
        _same_names(members, manifest)
        for name, member in members.items():
            if name != MANIFEST and member.file_size != manifest.files[name].bytes:
                raise changed(name)
        for name in manifest.files:
            place = fresh / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as stream:
                stream.writelines(_chunks(package, members[name]))
    _check_files(fresh, manifest)
    return manifest


def _members(package: LimitedZip) -> dict[str, zipfile.ZipInfo]:
    """Return the members by their path below the one folder that they all lie in."""
    members: dict[str, zipfile.ZipInfo] = {}
    top = package.members[0].filename.partition("/")[0]
    for member in package.members:
        name = member.filename
        if leads_out(name) or name != member.orig_filename:
            raise leads_away(member.orig_filename)
        head, _, path = name.partition("/")
        if not is_plain_file(member):
            raise no_plain_file(path or name)
        if head != top or not path:
            raise _odd(name)
        if path in members:
            raise OslerError(
                Code.MODEL_INVALID, f"{path!a} is in the package twice.", "Do not use it; tell who sent it."
            )
        members[path] = member
    return members


def _chunks(package: LimitedZip, member: zipfile.ZipInfo) -> Iterator[bytes]:
    told = {
        Code.ZIP_BOMB: "grows beyond all measure when it is unpacked",
        Code.ZIP_ENCRYPTED: "is encrypted",
        Code.ZIP_DAMAGED: "is damaged",
    }
    code = package.refused(member)
    if code is None:
        try:
            yield from package.chunks(member)
            return
        except DAMAGE:
            code = Code.ZIP_DAMAGED
    raise OslerError(code, f"{member.filename!a} in the package {told[code]}.", "Fetch the package again.")


def _from_folder(path: Path, fresh: Path) -> Manifest:
    found: list[str] = []
    for place in sorted(path.rglob("*")):
        name = place.relative_to(path).as_posix()
        if place.is_symlink() or not (place.is_dir() or place.is_file()):
            raise no_plain_file(name)
        if place.is_file():
            found.append(name)
        if len(found) > MOST_FILES + 1:
            raise _too_large(str(path))
    if MANIFEST not in found:
        raise _lacks(MANIFEST)
    if (path / MANIFEST).stat().st_size > LARGEST_MANIFEST:
        raise _too_large(MANIFEST)
    manifest = Manifest.from_bytes((path / MANIFEST).read_bytes())
    _same_names(found, manifest)
    for name, one in manifest.files.items():
        if (path / name).stat().st_size != one.bytes:
            raise changed(name)
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path / name, fresh / name)
    _check_files(fresh, manifest)
    return manifest


def _same_names(found: Mapping[str, object] | list[str], manifest: Manifest) -> None:
    """Refuse a package with a file too many or too few."""
    check_names(found)
    if MANIFEST in manifest.files:
        raise _odd(MANIFEST)
    for name in sorted(set(found) - set(manifest.files) - {MANIFEST}):
        raise _odd(name)
    for name in sorted(set(manifest.files) - set(found)):
        raise _lacks(name)


def _check_files(fresh: Path, manifest: Manifest) -> None:
    for name, one in manifest.files.items():
        if held(fresh / name) != one:
            raise changed(name)


def _odd(name: str) -> OslerError:
    return OslerError(Code.MODEL_INVALID, f"The package does not list {name!a}.", "Fetch it again from its source.")


def _lacks(name: str) -> OslerError:
    return OslerError(Code.MODEL_INVALID, f"The package has no {name}.", "Fetch it again from its source.")


def no_plain_file(name: str) -> OslerError:
    """Return the error for a link, a device or a pipe."""
    return OslerError(Code.MODEL_INVALID, f"{name!a} is no plain file.", "Do not use it; tell who sent it.")


def _too_large(name: str) -> OslerError:
    return OslerError(Code.MODEL_INVALID, f"{name} is larger than that of any model.", "Name a package of a model.")
