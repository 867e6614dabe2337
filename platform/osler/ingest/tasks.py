"""What worker processes do with one file; they share nothing, so that a decoder that crashes takes one file along."""

from __future__ import annotations

import hashlib
import uuid
import warnings
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileDataset

from osler.deid.basic_profile import deidentify, patient_key, to_bytes
from osler.deid.burned_in import clean_pixels
from osler.deid.links import Link, links_of
from osler.deid.options import BASIC, Profile
from osler.deid.pseudonyms import Pseudonymizer
from osler.dicom.decoding import check_decodable
from osler.dicom.header import Header, read_header, sha256_of
from osler.dicom.refusals import from_header_error, refusal, refusing
from osler.dicom.views import is_frontal, orientation_of, view_of
from osler.files import write_synced
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

PIXEL_DESCRIPTION = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)


@dataclass(frozen=True)
class Examined:
    """A file after the first look.

    Attributes:
        path: The file.
        sha256: Hash of its content, of its path where it cannot be read.
        readable: Whether the content could be read.
        header: Its header, None where it was refused.
        refused: Why, if so.
    """

    path: Path
    sha256: str
    readable: bool
    header: Header | None = None
    refused: OslerError | None = None


@dataclass(frozen=True)
class Job:
    """A file that the contract let pass, to be checked, de-identified and written to `target`; `linked` for a crosswalk."""

    path: Path
    sha256: str
    target: Path
    key: bytes
    site: str
    profile: Profile = BASIC
    linked: bool = False


@dataclass(frozen=True)
class Prepared:
    """A de-identified file in its waiting place, described by pseudonyms only; the links alone are for the crosswalk."""

    uid: str
    study_uid: str
    series_uid: str
    patient: str
    study_date: str
    sha256: str
    modality: str
    view: str
    eligible_frontal: bool
    acquired: str
    rows: int
    columns: int
    transfer_syntax: str
    photometric: str
    decoder: str
    pixels_judged: bool
    links: tuple[Link, ...] = field(default=(), repr=False)


def unread(path: Path) -> Examined:
    """Return what is known of a file that cannot be read: a name for it that tells nothing."""
    return Examined(path, hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest(), False)


def examine(path: Path) -> Examined:
    """Hash a file and read its header."""
    try:
        digest = sha256_of(path)
    except OslerError as error:
        return replace(unread(path), refused=error)
    try:
        return Examined(path, digest, True, header=read_header(path))
    except OslerError as error:
        return Examined(path, digest, True, refused=error)


def prepare(job: Job) -> Prepared | OslerError:
    """Decode a file's pixels, de-identify it and write it to its waiting place.

    Returns:
        The description, or the refusal.

    Raises:
        OslerError: `disk-full` and other failures to write: they end the run, since no other file would fare better.
    """
    try:
        with warnings.catch_warnings(), refusing(from_header_error):
            warnings.simplefilter("ignore")  # the header stage has collected them
            dataset = _read(job)
            checked = check_decodable(dataset)
            _make_a_study(dataset)
            judged = clean_pixels(dataset, job.profile.burned_in, checked.only)
            pseudonymizer = Pseudonymizer(job.key)
            patient = pseudonymizer.patient(*patient_key(dataset, job.site))
            links = links_of(dataset, pseudonymizer, job.site) if job.linked else ()
            _check_pixel_description(dataset)
            deidentify(dataset, pseudonymizer, issuer=job.site, profile=job.profile, pixels_judged=judged)
            content = to_bytes(dataset)
            described = _describe(dataset, patient, hashlib.sha256(content).hexdigest(), checked.decoder.label)
            prepared = replace(described, links=links)
    except OslerError as error:
        return error
    try:
        write_synced(job.target, content)
    except OSError as error:
        raise from_os_error(error) from None
    return prepared


def _read(job: Job) -> FileDataset:
    content = job.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != job.sha256:
        raise refusal(Code.UNREADABLE, "The file changed while it was being read.")
    return dcmread(BytesIO(content))


def _check_pixel_description(dataset: FileDataset) -> None:
    """Refuse a file that writes what its pixels are read by under a VR that is not the element's (PS3.6).

    De-identification goes by VR and would change the value; what is left is read in one way here, and not at all by others.
    """
    for keyword in PIXEL_DESCRIPTION:
        if keyword in dataset and dictionary_VR(keyword) != dataset[keyword].VR:
            message = "An element that describes the pixels is written as one of another kind (its VR)."
            raise refusal(Code.HEADER_INVALID, message)


def _make_a_study(dataset: FileDataset) -> None:
    """Make an image that names no study one of its own: the archive knows images by their study.

    Whether such an image enters is the contract's to say. The UID follows from that of the instance (PS3.5 B.2), so that
    another run finds the same.
    """
    if not str(dataset.get("StudyInstanceUID") or "").strip():
        digest = hashlib.sha256(f"study of {dataset.SOPInstanceUID}".encode()).digest()
        dataset.StudyInstanceUID = f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _describe(dataset: FileDataset, patient: str, sha256: str, decoder: str) -> Prepared:
    modality, view = str(dataset.get("Modality") or ""), view_of(dataset)
    return Prepared(
        uid=str(dataset.SOPInstanceUID),
        study_uid=str(dataset.StudyInstanceUID),
        series_uid=str(dataset.get("SeriesInstanceUID") or ""),
        patient=patient,
        study_date=str(dataset.get("StudyDate") or ""),
        sha256=sha256,
        modality=modality,
        view=view,
        eligible_frontal=is_frontal(modality, view, orientation_of(dataset)),
        acquired=_acquired(dataset),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
        photometric=str(dataset.get("PhotometricInterpretation") or ""),
        decoder=decoder,
        pixels_judged=dataset.PatientIdentityRemoved == "YES",
    )


def _acquired(dataset: FileDataset) -> str:
    """Return when the image was taken, by the first of the standard's times that is there."""
    if moment := dataset.get("AcquisitionDateTime"):
        return str(moment)
    for kind in ("Acquisition", "Content", "Series", "Study"):
        if day := dataset.get(f"{kind}Date"):
            return f"{day}{dataset.get(f'{kind}Time') or ''}"
    return ""
