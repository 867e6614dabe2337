"""Image tables in: PNG and JPEG files with a table of columns become valid DICOM."""

from osler.dicomize.convert import DicomizeSummary, dicomize
from osler.dicomize.table import Columns

__all__ = ["Columns", "DicomizeSummary", "dicomize"]
