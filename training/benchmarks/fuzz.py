"""Thousands of damaged DICOM files through ingestion under `any-image`: nothing crashes, hangs or is lost.

    python training/benchmarks/fuzz.py --count 5000 --seed 7 --json fuzz.json

The files are made by a seed from those that ship with pydicom, from phantoms, and from a folder of your own (--bases).
Every archived object is then read by dcmdump and decoded by DCMTK's or GDCM's tools. The exit status is 1 where a file
has no outcome or more than one, or an archived object is rejected or decodes to other pixels. A crash or a hang of
ingestion itself would end this script. The files that the damaged ones are made of are ingested too, text in pixels not
judged: those that an independent decoder reads and ingestion refuses are listed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

from osler_training.fuzz.generate import is_sound, pydicom_files
from osler_training.fuzz.independent import missing_tools
from osler_training.fuzz.run import run_fuzz
from osler_training.fuzz.unmutated import agreements, receive
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan


def phantom_files(folder: Path, seed: int) -> list[Path]:
    """Make a few phantom studies and return their files."""
    plans = mixed_plan(6, ("heart_failure", "pneumonia", "normal"), seed)
    made = generate_site("reference", plans, folder, size=128, workers=0, seed=seed)
    return sorted(made.folder.rglob("*.dcm"))


def main() -> int:
    """Run, print the counts as JSON, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="number of damaged files")
    parser.add_argument("--seed", type=int, default=7, help="seed of the damage")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of ingestion")
    parser.add_argument("--bases", type=Path, help="folder with further sound DICOM files to damage")
    parser.add_argument("--json", type=Path, help="file for the counts")
    given = parser.parse_args()
    if missing := missing_tools():
        parser.error(f"these programs are not installed: {', '.join(missing)}")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # pydicom reports each malformed value
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bases = pydicom_files() + phantom_files(Path(folder, "phantoms"), given.seed)
        if given.bases:
            bases += sorted(path for path in given.bases.rglob("*") if path.is_file() and is_sound(path))
        result = run_fuzz(
            bases,
            Path(folder),
            count=given.count,
            seed=given.seed,
            workers=given.workers,
            progress=lambda done, total: print(f"{done} of {total}", file=sys.stderr),
        )
        seconds = round(time.monotonic() - started)
        read = [path for path, one in agreements(bases).items() if one.tool]
        unmutated = receive(read, Path(folder, "sound"), given.workers)
    counts = result.to_dict() | {"seed": given.seed, "seconds": seconds, "unmutated": unmutated.to_dict()}
    text = json.dumps(counts, indent=2) + "\n"
    if given.json:
        given.json.write_text(text, encoding="utf-8")
    print(text, end="")
    return int(not result.complete or bool(result.rejected or result.unequal))


if __name__ == "__main__":
    sys.exit(main())
