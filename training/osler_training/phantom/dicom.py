"""Films as Digital X-Ray Image Storage - For Presentation (PS3.3 A.26), complete enough for `dciodvfy` to find no error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEGLSLossless

from osler.deid.basic_profile import IMPLEMENTATION_CLASS_UID
from osler_training.phantom.identity import Identity
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.seeds import uid
from osler_training.phantom.sites import SiteProfile, Stored

_VIEWS = {
    "PA": (codes.cid4010.PosteroAnterior, ["L", "F"]),
    "AP": (codes.cid4010.AnteroPosterior, ["L", "F"]),
    "LL": (codes.cid4010.LeftLateral, ["P", "F"]),
}
_EXPLANATIONS = ("Standard", "Soft tissue and bone")


@dataclass(frozen=True)
class Film:
    """One exposure of a study.

    Attributes:
        stored: Stored values (S, S).
        view: `PA`, `AP` or `LL`.
        spacing_mm: Spacing at the detector.
        number: Number of the exposure within the study, from 1; the later, the higher.
    """

    stored: Stored
    view: str
    spacing_mm: float
    number: int


def film_dataset(film: Film, plan: StudyPlan, site: SiteProfile, identity: Identity) -> Dataset:
    """Return the object of a film in the site's transfer syntax."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = uid(plan, site, f"image {film.number}")
    _patient_and_study(dataset, plan, site, identity)
    _series_and_equipment(dataset, film, plan, site, identity)
    _image(dataset, film, identity)
    _x_ray(dataset, film, site)
    _presentation(dataset, site)
    _pixels(dataset, film, site)
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """Return the file of a data set."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _patient_and_study(dataset: Dataset, plan: StudyPlan, site: SiteProfile, identity: Identity) -> None:
    """Patient, General Study and Patient Study modules (PS3.3 C.7.1, C.7.2)."""
    dataset.PatientName = identity.name
    dataset.PatientID = identity.number
    dataset.IssuerOfPatientID = site.institution
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = identity.sex
    dataset.PatientAge = identity.age
    dataset.PatientAddress = identity.address
    dataset.PatientTelephoneNumbers = identity.phone
    dataset.StudyInstanceUID = uid(plan, site, "study")
    dataset.StudyID = f"{plan.visit + 1}"
    dataset.StudyDescription = "Chest radiograph"
    dataset.AccessionNumber = identity.accession
    dataset.ReferringPhysicianName = identity.referring
    dataset.NameOfPhysiciansReadingStudy = identity.performing
    dataset.StudyDate, dataset.StudyTime = identity.moment.strftime("%Y%m%d %H%M%S").split()


def _series_and_equipment(dataset: Dataset, film: Film, plan: StudyPlan, site: SiteProfile, identity: Identity) -> None:
    """General Series, DX Series and General Equipment modules (PS3.3 C.7.3.1, C.8.11.1, C.7.5.1)."""
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = uid(plan, site, f"series {film.number}")
    dataset.SeriesNumber = str(film.number)
    dataset.SeriesDescription = f"Chest {film.view}"
    dataset.OperatorsName = identity.operator
    dataset.Manufacturer = site.vendor
    dataset.ManufacturerModelName = site.model
    dataset.InstitutionName = site.institution
    dataset.StationName = f"{site.name.upper()[:12]}01"
    dataset.DeviceSerialNumber = f"{len(site.vendor) * 7919:06d}"
    dataset.SoftwareVersions = "5.2"


def _image(dataset: Dataset, film: Film, identity: Identity) -> None:
    """General Image, DX Anatomy Imaged, DX Positioning and Acquisition Context modules (PS3.3 C.7.6, C.8.11)."""
    view, orientation = _VIEWS[film.view]
    moment = identity.moment + timedelta(minutes=3 * film.number)
    for kind in ("Series", "Acquisition", "Content"):
        day, time = moment.strftime("%Y%m%d %H%M%S").split()
        setattr(dataset, f"{kind}Date", day)
        setattr(dataset, f"{kind}Time", time)
    dataset.InstanceNumber = str(film.number)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientOrientation = orientation
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_coded(codes.cid4009.Chest)]
    dataset.ViewPosition = film.view
    dataset.ViewCodeSequence = [_coded(view)]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = []


def _x_ray(dataset: Dataset, film: Film, site: SiteProfile) -> None:
    """DX Detector and X-Ray acquisition (PS3.3 C.8.11.4, C.8.11.2)."""
    dataset.DetectorType = "SCINTILLATOR"
    dataset.DetectorConfiguration = "AREA"
    dataset.ImagerPixelSpacing = [film.spacing_mm, film.spacing_mm]
    dataset.KVP = "90" if film.view == "AP" else "120"
    dataset.ExposureInuAs = str(round(site.photons / 20))
    dataset.DistanceSourceToDetector = "1000" if film.view == "AP" else "1800"


def _presentation(dataset: Dataset, site: SiteProfile) -> None:
    """DX Image and VOI LUT modules (PS3.3 C.8.11.3, C.11.2): stored values grow with density but in MONOCHROME1."""
    inverse = site.photometric == "MONOCHROME1"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if inverse else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    dataset.WindowCenter = [str(int(center)) for center, _ in site.windows]
    dataset.WindowWidth = [str(int(width)) for _, width in site.windows]
    dataset.WindowCenterWidthExplanation = list(_EXPLANATIONS[: len(site.windows)])


def _pixels(dataset: Dataset, film: Film, site: SiteProfile) -> None:
    """Image Pixel module (PS3.3 C.7.6.3)."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = site.photometric
    dataset.Rows, dataset.Columns = film.stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, site.bits_stored, site.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(site.transfer_syntax_uid)
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset.file_meta.ImplementationVersionName = "OSLER"
    if site.transfer_syntax_uid == ExplicitVRLittleEndian:
        dataset.PixelData = film.stored.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
    else:
        plugin = "pyjpegls" if site.transfer_syntax_uid == JPEGLSLossless else "pylibjpeg"
        dataset.compress(site.transfer_syntax_uid, film.stored, encoding_plugin=plugin, generate_instance_uid=False)


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
