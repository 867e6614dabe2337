"""Where the processors' time of one file goes, in Osler's workers and in the handmade script.

    python training/benchmarks/stages.py FOLDER [--uncompressed] [--files 80]

Everything runs in this process and only its own processor time is counted, so that the figures hardly depend on what
else the machine does. Files that either side refuses are left out. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TypeVar

from handmade import convert, header
from pydicom import dcmread

from osler.deid.options import BASIC, BurnedIn
from osler.dicom.decoding import check_decodable
from osler.ingest.tasks import Examined, Job, Prepared, examine, prepare

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def spent(function: Callable[[Item], Answer], items: Sequence[Item]) -> tuple[float, list[Answer]]:
    """Return the median milliseconds of processor time, and the answers; the first call warms up."""
    function(items[0])
    times, answers = [], []
    for item in items:
        started = time.process_time()
        answers.append(function(item))
        times.append(1000 * (time.process_time() - started))
    return round(median(times), 1), answers


def sound(folder: Path, scratch: Path, files: int, uncompressed: bool) -> list[Path]:
    """Return files that can be read and decoded, decompressed if asked for."""
    paths: list[Path] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        examined = examine(path)
        if examined.header is None:
            continue
        try:
            dataset = dcmread(path)
            check_decodable(dataset)
        except Exception:  # noqa: BLE001, S112 - any file that does not decode is no subject here
            continue
        if uncompressed and dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress(generate_instance_uid=False)
            path = scratch / f"{len(paths)}.dcm"
            dataset.save_as(path)
        paths.append(path)
        if len(paths) == files:
            break
    return paths


def measure(paths: Sequence[Path], scratch: Path) -> dict[str, dict[str, float]]:
    """Return milliseconds a file by side and stage."""
    osler: dict[str, float] = {}
    osler["header and hash"], looked = spent(examine, paths)

    def job(item: Examined, policy: BurnedIn) -> Job:
        return Job(item.path, item.sha256, scratch / "o.dcm", b"k" * 32, "a", replace(BASIC, burned_in=policy))

    for name, policy in (("", BurnedIn.UNJUDGED), (", looking for burned-in text", BurnedIn.QUARANTINE)):
        took, answers = spent(prepare, [job(item, policy) for item in looked])
        osler[f"decode, de-identify, write{name}"] = took
        osler[f"of those accepted{name}"] = sum(isinstance(answer, Prepared) for answer in answers)
    script: dict[str, float] = {}
    script["header and hash"], _ = spent(header, paths)
    for name, look in (("", False), (", looking for burned-in text", True)):
        jobs = [(str(path), str(scratch / "s.dcm"), look) for path in paths]
        script[f"de-identify, write, decode{name}"], _ = spent(convert, jobs)
    decoding, _ = spent(check_decodable, [dcmread(path) for path in paths])
    return {"osler": osler, "script": script, "both": {"of which decoding": decoding}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uncompressed", action="store_true")
    parser.add_argument("--files", type=int, default=80)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        paths = sound(arguments.folder, Path(name), arguments.files, arguments.uncompressed)
        print(json.dumps({"files": len(paths)} | measure(paths, Path(name)), indent=2))


if __name__ == "__main__":
    main()
