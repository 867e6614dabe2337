"""Proof, on what is stored, that the archive is whole and de-identified. The quarantine is not looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from osler.archive.store import Archive
from osler.database.search import rows_as_bytes
from osler.deid.actions import Action, action_for
from osler.deid.basic_profile import IMPLEMENTATION_CLASS_UID
from osler.deid.byte_search import found_in
from osler.deid.options import Option
from osler.deid.safe_private import is_safe_private
from osler.dicom.identifiers import readable_element
from osler.dicom.refusals import attempt

# Elements that the profile empties or replaces, and then writes a pseudonym or its own record into.
_WRITTEN = frozenset({0x00100010, 0x00100020, 0x00120062, 0x00120063, 0x00120064, 0x00280301, 0x00280303})
_DUMMIES = frozenset({"", "REMOVED", "0", "000Y", "0.0"})
_BY_OPTION = {
    "113108": Option.CHARACTERISTICS,
    "113109": Option.DEVICE,
    "113111": Option.SAFE_PRIVATE,
}
_PSEUDONYM = re.compile("P[0-9A-F]{16}")
SHORTEST = 4  # characters of an identifier; fewer are found by chance in any file


@dataclass(frozen=True)
class Fault:
    """Something that should not be. Told without any value.

    Attributes:
        where: Path within the workspace.
        what: A short code.
        detail: More, such as the tag.
    """

    where: str
    what: str
    detail: str = ""


@dataclass(frozen=True)
class Proof:
    """What was looked at, and what was wrong with it."""

    objects: int
    files_searched: int
    identifiers: int
    faults: tuple[Fault, ...]


def verify_archive(archive: Archive, identifiers: Iterable[str] = ()) -> Proof:
    """Read every archived object and hold it against index, profile and identifiers.

    Args:
        archive: The archive.
        identifiers: Original values that must be nowhere: from the crosswalk or a list. They are also searched for in
            the index, the tracker and everything else of the workspace but quarantine and cache.
    """
    wanted = frozenset(text.lower() for raw in identifiers for text in _pieces(raw))
    root = archive.workspace.root
    faults: list[Fault] = []
    indexed: set[Path] = set()
    for study in archive.studies():
        for instance in study.instances:
            indexed.add(instance.path)
            faults += _check_object(root, instance.path, instance.sha256, (study.patient, study.uid, instance.uid))
    stored = {path for path in archive.workspace.archive.rglob("*.dcm") if ".incoming" not in path.parts}
    faults += [Fault(_name(root, path), "not-in-index") for path in sorted(stored - indexed)]
    searched = 0
    for path in _kept_files(archive):
        searched += 1
        content = path.read_bytes()
        if any(True for _ in found_in(content, wanted)):
            faults.append(Fault(_name(root, path), "identifier-found"))
    if archive.engine.dialect.name != "sqlite":
        for table, content in rows_as_bytes(archive.engine):
            if any(True for _ in found_in(content, wanted)):
                faults.append(Fault(f"database/{table}", "identifier-found"))
    return Proof(len(indexed), searched, len(wanted), tuple(faults))


def _check_object(root: Path, path: Path, sha256: str, names: tuple[str, str, str]) -> Iterator[Fault]:
    where = _name(root, path)
    if not path.is_file():
        yield Fault(where, "missing")
        return
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        yield Fault(where, "hash-differs")
    if content[:128].strip(b"\0"):
        yield Fault(where, "preamble-in-use")
    dataset = attempt(lambda: dcmread(BytesIO(content)), None)
    if dataset is None:
        yield Fault(where, "unreadable")
        return
    if (dataset.get("PatientID"), dataset.get("StudyInstanceUID"), dataset.get("SOPInstanceUID")) != names:
        yield Fault(where, "index-differs")
    if dataset.file_meta.get("ImplementationClassUID") != IMPLEMENTATION_CLASS_UID or len(dataset.file_meta) > 7:
        yield Fault(where, "file-meta-not-ours")
    if not _PSEUDONYM.fullmatch(str(dataset.get("PatientName"))):
        yield Fault(where, "no-pseudonym", "(0010,0010)")
    yield from (Fault(where, "element-not-removed", detail) for detail in _left(dataset, _options(dataset)))


def _options(dataset: Dataset) -> frozenset[Option]:
    codes = {str(item.get("CodeValue")) for item in dataset.get("DeidentificationMethodCodeSequence") or ()}
    return frozenset(option for code, option in _BY_OPTION.items() if code in codes)


def _left(dataset: Dataset, options: frozenset[Option]) -> Iterator[str]:
    """Yield tags of elements that the profile removes or empties and that are there with a value, at every level."""
    for tag in list(dataset.keys()):
        if int(tag) in _WRITTEN:
            continue
        element = readable_element(dataset, tag)
        if element is None:
            yield str(tag)
            continue
        action = action_for(element.tag, element.VR, options)
        if action is Action.REMOVE:
            if not (Option.SAFE_PRIVATE in options and tag.is_private and is_safe_private(dataset, tag)):
                yield str(tag)
        elif element.VR == "SQ":
            if action in (Action.EMPTY, Action.DUMMY) and len(element.value or ()):
                yield str(tag)
            for item in element.value or ():
                yield from _left(item, options)
        elif action in (Action.EMPTY, Action.DUMMY) and element.VR not in ("DA", "DT", "TM", "UI"):
            if str(element.value if element.value is not None else "") not in _DUMMIES and element.value != b"":
                yield str(tag)
        elif action is Action.UID and any(not uid.startswith("2.25.") for uid in _uids(element.value)):
            yield str(tag)


def _uids(value: object) -> list[str]:
    from pydicom.uid import UID

    items = [value] if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    # The standard's own UIDs, which name no one, stay.
    return [str(item) for item in items if str(item) and UID(str(item)).name == str(item)]


def _kept_files(archive: Archive) -> Iterator[Path]:
    """Yield every file of the workspace but those of the quarantine and the cache."""
    workspace = archive.workspace
    without = {workspace.quarantine, workspace.cache}
    for top in sorted(workspace.root.iterdir()):
        if top in without:
            continue
        yield from (path for path in sorted([top] if top.is_file() else top.rglob("*")) if path.is_file())


def _pieces(raw: str) -> Iterator[str]:
    """Yield an identifier, and the words of a name (PN) on their own."""
    text = raw.strip()
    if len(text) >= SHORTEST:
        yield text
    if "^" in text or "=" in text:
        yield from (word for word in re.split(r"[\^=,\s]+", text) if len(word) >= SHORTEST)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
