"""Does memory stay flat in the number of files? `osler ingest` over folders of different sizes.

    python training/benchmarks/memory.py [--files 500 5000]

The files are small radiographs of random noise, each a study of its own. Printed is the greatest sum of resident memory
of the main process and its workers, for each number of files, and its growth from the first to the last.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from ingest import PLAIN, measure
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian


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
    dataset.Rows = dataset.Columns = 136
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = np.random.default_rng(number).integers(0, 4096, (136, 136)).astype("<u2").tobytes()
    dataset.save_as(folder / f"{number:06d}.dcm", enforce_file_format=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--side", default=PLAIN)
    arguments = parser.parse_args()
    peaks: dict[int, int] = {}
    program = str(Path(__file__).with_name("ingest.py"))
    with tempfile.TemporaryDirectory() as name:
        folder, done = Path(name, "files"), 0
        folder.mkdir()
        for files in sorted(arguments.files):
            for number in range(done, files):
                write(folder, number)
            done = files
            scratch = Path(name, f"scratch-{files}")
            scratch.mkdir()
            options = ["--side", arguments.side, str(folder), str(scratch), "2", "chest-radiograph"]
            peaks[files] = measure([sys.executable, program, *options]).peak
    first, last = min(peaks), max(peaks)
    megabytes = {str(files): round(peak / 1e6) for files, peak in peaks.items()}
    print(json.dumps({"peak MB": megabytes, "growth": round(peaks[last] / peaks[first] - 1, 3)}, indent=2))


if __name__ == "__main__":
    main()
