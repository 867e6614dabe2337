"""Does memory stay flat in the number of files? `osler ingest` over folders of different sizes.

    python training/benchmarks/memory.py [--files 500 5000] [--text looked-for not-looked-for]

The files are small radiographs of random patches, each a study of its own; one in twenty shows an exposure figure, so
that the reader of text is loaded and used by every worker. Printed is, with and without the search for burned-in text,
the greatest sum of resident memory of the main process and its workers for each number of files, and its growth from
the first to the last.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from ingest import OSLER, SIDES, measure
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

SIDE = {
    ("looked-for" if look else "not-looked-for"): side for side, (program, look) in SIDES.items() if program == OSLER
}
LETTERED = 20


def draw(number: int) -> NDArray[np.uint16]:
    """Return patches of 12 bits, as anatomy is, with lettering in one of twenty."""
    patches = np.random.default_rng(number).integers(0, 2048, (18, 16)).astype("<u2")
    pixels = np.kron(patches, np.ones((16, 16), "<u2"))
    if number % LETTERED == 0:
        lettering = np.zeros((48, pixels.shape[1]), "u1")
        cv2.putText(lettering, "71 kV", (8, 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255,), 2)
        pixels[:48] = lettering.astype("<u2") << 4
    return pixels


def write(folder: Path, number: int) -> None:
    """Write one radiograph that differs from the others."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    for place, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), 1):
        setattr(dataset, keyword, f"1.2.826.0.1.3680043.8.498.{number}.{place}")
    dataset.PatientID = f"MRN{number:06d}"
    dataset.PatientName = f"Name{number:06d}^Given"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19510203", "F", "069Y"
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, keyword, "20200304")
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
    dataset.PatientOrientation, dataset.BurnedInAnnotation = ["L", "F"], "NO"
    dataset.PresentationIntentType, dataset.PhotometricInterpretation = "FOR PRESENTATION", "MONOCHROME2"
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    pixels = draw(number)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(folder / f"{number:06d}.dcm", enforce_file_format=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--text", nargs="+", choices=sorted(SIDE), default=sorted(SIDE))
    arguments = parser.parse_args()
    peaks: dict[str, dict[int, int]] = {text: {} for text in arguments.text}
    with tempfile.TemporaryDirectory() as name:
        folder, done = Path(name, "files"), 0
        folder.mkdir()
        for files in sorted(arguments.files):
            for number in range(done, files):
                write(folder, number)
            done = files
            for text in arguments.text:
                peaks[text][files] = peak(SIDE[text], folder, Path(name, f"{text}-{files}"))
    print(json.dumps({text: report(found) for text, found in peaks.items()}, indent=2))


def peak(side: str, folder: Path, scratch: Path) -> int:
    """Ingest a folder in processes of their own, and return the bytes at the peak."""
    scratch.mkdir()
    program = str(Path(__file__).with_name("ingest.py"))
    return measure([sys.executable, program, "--side", side, str(folder), str(scratch), "2", "chest-radiograph"]).peak


def report(peaks: dict[int, int]) -> dict[str, object]:
    """Return megabytes by number of files, and the growth from the fewest to the most."""
    growth = peaks[max(peaks)] / peaks[min(peaks)] - 1
    return {"peak MB": {str(files): round(found / 1e6) for files, found in peaks.items()}, "growth": round(growth, 3)}


if __name__ == "__main__":
    main()
