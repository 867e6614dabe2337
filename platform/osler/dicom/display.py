"""What a header says about showing one frame: rescaling, windows, padding and spacing, wherever it stands.

In an enhanced multi-frame object these stand in functional groups, of each frame or shared by all (PS3.3 C.7.6.16); a
frame's own goes before the shared one, and both before the data set itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from osler.dicom.tables import LookupTable, read_table

Spacing = tuple[float, float]

# Distances between rows and between columns, best first. Pixel Spacing (0028,0030) is calibrated or in the patient;
# Imager Pixel Spacing (0018,1164) is at the detector, so that lengths come out magnified (PS3.3 10.7), as is Nominal
# Scanned Pixel Spacing (0018,2010) of a scanned film or screen.
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_MACROS = (
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
_PADDING = (
    ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
)


@dataclass(frozen=True)
class Window:
    """One window of the VOI LUT module, in units after the modality LUT."""

    center: float
    width: float
    function: str


@dataclass(frozen=True)
class Display:
    """How stored values of one frame are to be shown.

    Attributes:
        photometric: Photometric Interpretation.
        modality_table: Modality LUT; where there is one, slope and intercept do not count.
        slope: Rescale Slope.
        intercept: Rescale Intercept.
        tables: VOI LUTs, alternatives to each other and to the windows.
        windows: Windows.
        padding: Lowest and highest stored value that stand for no image, None where none does.
        spacing_mm: (row, column) spacing; None where it is not given: nothing is invented.
        spacing_origin: Keyword of the element that it comes from, or `unknown`.
    """

    photometric: str
    modality_table: LookupTable | None
    slope: float
    intercept: float
    tables: tuple[LookupTable, ...]
    windows: tuple[Window, ...]
    padding: tuple[float, float] | None
    spacing_mm: Spacing | None
    spacing_origin: str

    @property
    def inverted(self) -> bool:
        """Whether low values are shown white."""
        return self.photometric == "MONOCHROME1"


def display_of(dataset: Dataset, frame: int = 0) -> Display:
    """Gather what concerns one frame, counted from 0.

    Raises:
        Exception: Of any kind where a value is malformed; see `osler.dicom.refusals.refusing`.
    """
    places = tuple(_places(dataset, frame))
    rescaling = _holder(places, "RescaleSlope", "ModalityLUTSequence")
    spacing, origin = _spacing(places)
    tables = rescaling.get("ModalityLUTSequence") or ()
    return Display(
        photometric=str(dataset.get("PhotometricInterpretation") or "").strip(),
        modality_table=_table(dataset, tables[0]) if tables else None,
        slope=_number(rescaling, "RescaleSlope", 1.0),
        intercept=_number(rescaling, "RescaleIntercept", 0.0),
        tables=_voi_tables(dataset, _holder(places, "VOILUTSequence")),
        windows=_windows(_holder(places, "WindowCenter")),
        padding=_padding(dataset),
        spacing_mm=spacing,
        spacing_origin=origin,
    )


def spacing_of(dataset: Dataset, frame: int = 0) -> tuple[Spacing | None, str]:
    """Return (row, column) spacing in mm and the keyword it comes from; see `Display`."""
    return _spacing(tuple(_places(dataset, frame)))


def _places(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    """Yield where a frame's values may stand, the most particular first."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for group in (*own[frame : frame + 1], *shared[:1]):
        for macro in _MACROS:
            yield from (group.get(macro) or ())[:1]
    yield dataset


def _holder(places: tuple[Dataset, ...], *keywords: str) -> Dataset:
    """Return the first place that has one of the elements, the data set itself where none has."""
    return next((place for place in places if any(place.get(keyword) is not None for keyword in keywords)), places[-1])


def _spacing(places: tuple[Dataset, ...]) -> tuple[Spacing | None, str]:
    for keyword in SPACINGS:
        for place in places:
            values = _numbers(place, keyword)
            if len(values) == 2 and all(0 < value < float("inf") for value in values):
                return (values[0], values[1]), keyword
    return None, "unknown"


def _voi_tables(dataset: Dataset, holder: Dataset) -> tuple[LookupTable, ...]:
    items = holder.get("VOILUTSequence") or ()
    given = [item for item in items if item.get("LUTDescriptor") is not None and item.get("LUTData") is not None]
    return tuple(_table(dataset, item) for item in given)


def _table(dataset: Dataset, item: Dataset) -> LookupTable:
    return read_table(item, "LUTDescriptor", "LUTData", big_endian=is_big_endian(dataset))


def is_big_endian(dataset: Dataset) -> bool:
    """Return the byte order of a data set by its transfer syntax."""
    return not dataset.file_meta.TransferSyntaxUID.is_little_endian


def _windows(holder: Dataset) -> tuple[Window, ...]:
    function = str(holder.get("VOILUTFunction") or "LINEAR").strip().upper()
    pairs = zip(_numbers(holder, "WindowCenter"), _numbers(holder, "WindowWidth"), strict=False)
    return tuple(Window(center, width, function) for center, width in pairs)


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    """Find the padding value and, where there is one, its range limit (PS3.3 C.7.5.1.1.2)."""
    for value, limit in _PADDING:
        if dataset.get(value) is not None:
            first = float(dataset[value].value)
            last = _number(dataset, limit, first)
            return min(first, last), max(first, last)
    return None


def _number(dataset: Dataset, keyword: str, otherwise: float) -> float:
    value = dataset.get(keyword)
    return otherwise if value in (None, "") else float(value)


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    value = dataset.get(keyword)
    if value is None:
        return []
    items = value if hasattr(value, "append") else [value]
    return [float(item) for item in items if item not in (None, "")]
