"""How well does Osler read findings from real reports? Open-i, indexed by experts, beside two baselines.

    python training/benchmarks/openi.py ../shared/data/reports/openi_reports.csv [--half reporting] [--json FILE]

The phrases and the rules of context were written on the development half alone; the halves are told apart by a hash
of the report's identifier, and the script refuses a table whose halves are others than those recorded here. Findings
and impression are read, never the headings. Printed are precision, recall and F1 with 95 % intervals from a bootstrap over
reports, the mean F1 over the twelve findings, and its difference to each baseline on the same bootstrap samples. Of the
disagreements on the reporting half, `openi_disagreements.yaml` says what they were taken for when they were read.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.annotate import Annotator, Phrases
from osler_knowledge.report_findings import report_findings
from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.openi import (
    FINDINGS,
    HALVES,
    RARE_FINDINGS,
    SIDED,
    IndexedReport,
    half_of,
    indexed_side,
    read_openi,
    reference,
    split_digest,
)
from osler_training.evaluate.report_annotation import READERS, VARIANTS, Flags, Scores, asserted, score

SEED, REPLICATES = 20, 2000
JUDGED = Path(__file__).with_name("openi_disagreements.yaml")
SPLIT = {
    "development": "321a4ad328cc847ad1402ae6e296135ec8d3c4e69da5a79d4568bbc87f6b27b6",
    "reporting": "957584af33cbd8f34332f18bc821eac9ba32b572a73cf356245928f1d32aa3de",
}


def chosen_half(path: Path, half: str) -> list[IndexedReport]:
    """Return the reports of a half, after checking that the split is the recorded one."""
    reports = read_openi(path)
    if any(split_digest(reports, one) != SPLIT[one] for one in HALVES):
        raise OslerError(
            Code.TABLE_INVALID, "The table holds other reports than the split was made on.", "Use all 3,955."
        )
    return [report for report in reports if half_of(report.uid) == half]


def told(one: Estimate) -> dict[str, Any]:
    """Return a number with its interval."""
    low, high = one.ci
    return {"value": round(one.value, 4), "ci": [round(low, 4), round(high, 4)]}


def evaluate(reports: list[IndexedReport]) -> dict[str, Any]:
    """Score every reader on the reports."""
    findings = {**FINDINGS, **RARE_FINDINGS}
    listed = report_findings()
    phrases = {key: listed[key] for key in findings}
    truth = reference(reports, findings)
    weights = patient_weights([report.uid for report in reports], seed=SEED, replicates=REPLICATES)
    texts = [report.text for report in reports]
    flags = {name: read(texts, phrases) for name, read in {**READERS, **VARIANTS}.items()}
    scores = {name: score(one, truth, weights) for name, one in flags.items()}
    columns = range(len(FINDINGS))
    macro = {name: one.macro_f1(columns) for name, one in scores.items()}
    return {
        "reports": len(reports),
        "replicates": REPLICATES,
        "macro_f1": {name: told(one) for name, one in macro.items()},
        "macro_f1_gain": {name: told(macro["osler"].minus(one)) for name, one in macro.items() if name != "osler"},
        "read": judged(reports, flags["osler"], truth, list(findings)),
        "sides": sides(reports, phrases, weights),
        "findings": {key: _finding(scores, column, int(truth[:, column].sum())) for column, key in enumerate(findings)},
    }


def judged(reports: list[IndexedReport], flags: Flags, truth: Flags, findings: list[str]) -> dict[str, Any]:
    """Count the disagreements by what the authors took them for; those they did not read are `not read`."""
    record = yaml.safe_load(JUDGED.read_text(encoding="utf-8"))
    counts: dict[str, Counter[str]] = {}
    own = np.zeros_like(truth)  # where Osler alone is wrong
    for row, column in np.argwhere(flags != truth):
        number = int(reports[row].uid.removeprefix("CXR")) * (1 if flags[row, column] else -1)
        classes = record.get(findings[column], {})
        kind = next((name for name, numbers in classes.items() if number in numbers), "not read")
        counts.setdefault(findings[column], Counter())[kind] += 1
        own[row, column] = kind == "error"
    single = np.ones((1, len(reports)))
    alone = score(np.where(own, flags, truth), truth, single).macro_f1(range(len(FINDINGS)))
    return {"disagreements": counts, "macro_f1_with_our_errors_alone": round(alone.value, 4)}


def sides(reports: list[IndexedReport], phrases: Mapping[str, Phrases], weights: Array) -> dict[str, Any]:
    """Compare sides where finding and side are indexed and Osler asserts the finding: share named, and right of those."""
    counts = np.zeros((len(reports), 3))  # of a report: findings with an indexed side, sides read, sides read right
    mentions = Annotator({key: phrases[key] for key in SIDED})(report.text for report in reports)
    for row, (report, read) in enumerate(zip(reports, mentions, strict=True)):
        for key in SIDED:
            side, mention = indexed_side(report, FINDINGS[key]), read.get(key)
            if side and mention and asserted(mention):
                counts[row] += (1, mention.side is not None, mention.side == side)
    drawn = weights @ counts
    total = counts.sum(0)
    return {
        "sides": int(total[0]),
        "recall": told(Estimate(total[2] / total[0], drawn[:, 2] / drawn[:, 0])),
        "precision": told(Estimate(total[2] / total[1], drawn[:, 2] / drawn[:, 1])),
    }


def _finding(scores: Mapping[str, Scores], column: int, indexed: int) -> dict[str, Any]:
    parts = ("precision", "recall", "f1")
    return {"indexed": indexed} | {
        name: {part: told(getattr(one, part)[column]) for part in parts} for name, one in scores.items()
    }


def table(answer: Mapping[str, Any]) -> list[str]:
    """Return the answer as a Markdown table."""

    def cell(one: Mapping[str, Any]) -> str:
        return f"{one['value']:.3f} [{one['ci'][0]:.3f}, {one['ci'][1]:.3f}]"

    lines = ["| finding | indexed | precision | recall | F1 | F1, negation library | F1, keywords |"]
    lines += ["| --- | ---: | --- | --- | --- | --- | --- |"]
    for key, one in answer["findings"].items():
        ours = [cell(one["osler"][part]) for part in ("precision", "recall", "f1")]
        others = [cell(one[name]["f1"]) for name in ("negation library", "keywords")]
        name = key.replace("_", " ") + (" (outside the mean)" if key in RARE_FINDINGS else "")
        lines.append(f"| {name} | {one['indexed']} | {' | '.join(ours + others)} |")
    macro = [cell(answer["macro_f1"][name]) for name in ("osler", "negation library", "keywords")]
    lines.append(f"| **mean F1 of the {len(FINDINGS)}** | | | | **{macro[0]}** | {macro[1]} | {macro[2]} |")
    lines += [f"| {name}, mean F1 | | | | {cell(answer['macro_f1'][name])} | | |" for name in VARIANTS]
    gains = [f"{cell(one)} over {name}" for name, one in answer["macro_f1_gain"].items()]
    lines += ["", f"{answer['reports']} reports. Gain in mean F1, paired: {'; '.join(gains)}.", ""]
    lines += [f"Disagreements, {key}: {dict(one)}" for key, one in answer["read"]["disagreements"].items()]
    total = sum((one for key, one in answer["read"]["disagreements"].items() if key in FINDINGS), Counter())
    alone = answer["read"]["macro_f1_with_our_errors_alone"]
    side = answer["sides"]
    lines.append(f"Sides ({side['sides']}): precision {cell(side['precision'])}, recall {cell(side['recall'])}.")
    return [*lines, f"All of the {len(FINDINGS)}: {dict(total)}; mean F1 with our errors alone: {alone:.3f}."]


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", type=Path, metavar="openi_reports.csv")
    parser.add_argument("--half", choices=HALVES, default="reporting")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    answer = evaluate(chosen_half(arguments.reports, arguments.half))
    if arguments.json:
        arguments.json.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(answer)))


if __name__ == "__main__":
    main()
