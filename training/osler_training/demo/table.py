"""The results of the demonstration, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {
    "linear_probe": "linear probe",
    "report_probe": "report-supervised probe",
    "fine_tuned_cnn": "fine-tuned CNN",
    "bottleneck": "bottleneck, no prior",
    "bottleneck_prior": "bottleneck with prior",
}


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines to print."""
    ingest, bank, adapted = summary["ingest"], summary["bank"], summary["adaptation"]
    first, other = summary["classes"][0], " or ".join(summary["classes"][1:])
    lines = [
        "",
        "PHANTOM DATA: simulated radiographs; nothing here speaks of patients.",
        "",
        (
            f"Files     received {ingest['received']} = accepted {ingest['accepted']} + quarantined {ingest['quarantined']} "
            f"+ duplicates {ingest['duplicates']}; unlike what was planted: {sum(ingest['unexpected'].values())}"
        ),
        f"Concepts  {bank['concepts']}, {bank['with_citation']} with a citation",
        (
            f"Task      {first} or {other}; {summary['nuisance']} goes with {first} at hospital A (ID), "
            f"with {other} at hospital B (OOD)"
        ),
        "",
        *result_lines(summary["results"]),
    ]
    gain = _percent(adapted["gain"], adapted["ci"]["gain"])
    lines += [
        "",
        (
            f"Adapted to hospital B with {adapted['shots']} studies a class, mean of {adapted['draws']} draws: "
            f"{100 * adapted['target_before']:.1f} -> {100 * adapted['target_after']:.1f} (gain {gain.strip()}); "
            f"{adapted['masked']:.1f} concepts masked, {adapted['amplified']:.1f} amplified."
        ),
        (
            f"Hospital A meanwhile: {100 * adapted['source_before']:.1f} -> {100 * adapted['source_after']:.1f} "
            f"(no prediction changes; if the patch were not gated: {100 * adapted['source_after_ungated']:.1f})."
        ),
        "",
        f"{summary['seconds']:.0f} s. 95% intervals by bootstrap over patients, in brackets.",
    ]
    return lines


def result_lines(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table with a row a method: ID, OOD, gap and average with their intervals."""
    lines = [f"{'accuracy in %':24}{'ID':>18}{'OOD':>18}{'gap':>18}{'avg':>18}"]
    for row in results:
        cells = "".join(f"{_percent(row[key], row['ci'][key]):>18}" for key in ("id", "ood", "gap", "avg"))
        lines.append(f"{NAMES.get(row['method'], row['method']):24}{cells}")
    return lines


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.1f} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
