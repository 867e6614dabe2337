"""How fast is a header table checked against a contract, its import excluded?

    python training/benchmarks/headers.py --headers FILE.csv.gz [FILE.csv.gz ...] [--rows 200000] [--json]

Rows of exported headers are repeated, each with identifiers of its own, columns that exports lack are made up, and half
of the rows are spoiled so that half of the clauses fire. Without `--headers`, a good row is repeated. Printed are rows a
second (the best and the median of the repeats), the clauses that fired, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from osler_contracts.contract import load_contract
from osler_contracts.engine import check_headers
from osler_contracts.headers import COLUMNS, header_table, read_header_csv

TODAY = date(2026, 1, 1)
DECODABLE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
GOOD: Mapping[str, object] = {
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1",
    "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    "specific_character_set": "ISO_IR 100",
    "modality": "CR",
    "rows": 2828,
    "columns": 2320,
    "samples_per_pixel": 1,
    "photometric_interpretation": "MONOCHROME2",
    "bits_allocated": 16,
    "bits_stored": 12,
    "high_bit": 11,
    "pixel_representation": 0,
    "pixel_spacing": [0.15, 0.15],
    "imager_pixel_spacing": [0.15, 0.15],
    "body_part_examined": "CHEST",
    "view_position": "PA",
    "laterality": "U",
    "image_laterality": "U",
    "patient_orientation": ["L", "F"],
    "study_date": "20110328",
    "series_date": "20110328",
    "acquisition_date": "20110328",
    "content_date": "20110328",
    "patient_age": "043Y",
    "patient_birth_date": "19680301",
    "burned_in_annotation": "NO",
    "pixel_data_present": True,
    "pixel_data_length": 13121920,
    "pixel_length_expected": 13121920,
    "decoded_length": 13121920,
    "private_identifier": False,
}
# Each value makes one or two clauses of the chest contract fire.
SPOILED: Mapping[str, str] = {
    "modality": "MR",
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7",
    "series_instance_uid": "9999.08.1",
    "rows": "64",
    "photometric_interpretation": "RGB",
    "high_bit": "15",
    "pixel_data_length": "12",
    "transfer_syntax_uid": "1.2.840.10008.1.2.4.201",
    "burned_in_annotation": "YES",
    "study_date": "20990101",
    "body_part_examined": "hand",
    "patient_age": "155",
    "view_position": "LARGE",
    "image_laterality": "LEFT",
    "pixel_spacing": "0.14300000000000002",
    "specific_character_set": "UTF-8",
}


def large_table(headers: list[Path], rows: int) -> pd.DataFrame:
    """Return a table of `rows` rows: those of the files, or a good one, over and over; each second row is spoiled."""
    good = header_table([{"key": "good", **GOOD}])
    parts = [read_header_csv(path) for path in headers] or [good]
    base = pd.concat([part.reindex(columns=list(COLUMNS)) for part in parts], ignore_index=True)
    values = {name: value for name, value in good.iloc[0].items() if value is not None}
    base = base.astype({name: object for name in values if base[name].isna().all()}).fillna(values)
    table = base.iloc[np.arange(rows) % len(base)].set_axis(pd.Index([f"row {n}" for n in range(rows)], name="key"))
    names = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(rows)]
    table["sop_instance_uid"] = [f"{name}.1" for name in names]
    table["study_instance_uid"] = [f"{name}.2" for name in names]
    table["series_instance_uid"] = [f"{name}.3" for name in names]
    table["patient_id"] = [f"N{number // 3}" for number in range(rows)]
    table["content_sha256"] = [f"{number:064}" for number in range(rows)]
    odd = np.arange(rows) % 2 == 1
    for name, value in SPOILED.items():
        table.loc[odd, name] = value
    return table.astype(object)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--headers", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contract", default="chest-radiograph")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    contract, table = load_contract(arguments.contract), large_table(arguments.headers, arguments.rows)
    check_headers(table.head(10), contract, TODAY, DECODABLE)  # imports Great Expectations
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        report = check_headers(table, contract, TODAY, DECODABLE)
        seconds.append(time.perf_counter() - start)
    fired = sum(bool(result.violated) for result in report.results)
    answer = {
        "rows": len(table),
        "clauses": len(report.results),
        "clauses_firing": fired,
        "violations": sum(len(result.violated) for result in report.results),
        "unchecked": len(report.unchecked),
        "rows_per_second_best": round(len(table) / min(seconds)),
        "rows_per_second_median": round(len(table) / statistics.median(seconds)),
        "peak_mb_before": before // 1024,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(answer, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in answer.items()))


if __name__ == "__main__":
    main()
