"""One self-contained page of an experiment: what a reader needs to believe it, or not to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from osler_training.shift import plots
from osler_training.shift.cell import RESULT
from osler_training.shift.examine import examined_section
from osler_training.shift.frame import RunFolder, document, head
from osler_training.shift.markup import NOTICE, code, escape, figure, grid, interval, points, section, signed
from osler_training.shift.moved import moved_tables

CONTROLS = ("random_concepts", "permuted_concepts", "prior_only", "concept_probe")
MORE = ("accuracy", "balanced_accuracy", "worst_class_accuracy", "auroc", "ece", "brier")


def write_page(folder: Path, path: Path) -> Path:
    """Write the page of a finished run.

    Raises:
        OslerError: `source-missing` where the folder holds no run.
    """
    run = Run(folder)
    parts = [head_of(run), data_of(run), *results_of(run), *moved_tables(run.lab, run.cells)]
    parts += [examined_section(run.cells), controls_of(run), more_of(run), cards_of(run), refused_of(run)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(f"Shift: {run.recipe['name']}", parts), encoding="utf-8")
    return path


class Run(RunFolder):
    """What a run left in its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "osler shift run")
        self.cells = self.each_cell(RESULT)
        self.metric = str(self.table["metric"]).replace("_", " ")

    @property
    def tests(self) -> list[tuple[str, str]]:
        """Source and test of each table, in the recipe's order."""
        return list(dict.fromkeys((row["source"], row["test"]) for row in self.table["goal"]))

    def rows(self, source: str, test: str) -> list[dict[str, Any]]:
        """Return the goal rows of one test, means over seeds where there are several."""
        rows = self.table["seeds"] or self.table["goal"]
        return [row for row in rows if (row["source"], row["test"]) == (source, test)]


def head_of(run: Run) -> str:
    """Return title, notices, and what the run can be traced by."""
    splits = ", ".join(f"{escape(name)} {code(digest)}" for name, digest in run.lab["splits"].items())
    drawn = f"95%, bootstrap over patients, {run.recipe['replicates']} replicates; differences are paired"
    return head(run, {"Splits": splits, "Intervals": drawn})


def data_of(run: Run) -> str:
    """Return the table of sites and the sizes of parts."""
    classes = run.recipe["classes"]
    rows = [
        [
            escape(name),
            str(one["images"]),
            str(one["patients"])
            if one["patients_known"]
            else "not named: images stand for patients, intervals too narrow",
            *(str(one["classes"][each]) for each in classes),
            str(one["other"]),
        ]
        for name, one in run.lab["sites"].items()
    ]
    sizes = "".join(
        f"<p>{escape(name)}: {escape(', '.join(f'{count} {part}' for part, count in parts.items()))}.</p>"
        for name, parts in run.lab["sizes"].items()
    )
    return section("Data", grid(["site", "images", "patients", *map(escape, classes), "other classes"], rows) + sizes)


def results_of(run: Run) -> list[str]:
    """Return the curve, the table of families, the differences, and ID against OOD."""
    parts = []
    for source, test in run.tests:
        rows = run.rows(source, test)
        where = f"{escape(source)} to {escape(test)}" if source != test else f"{escape(source)}, in domain"
        curve = figure(
            plots.specification(rows, run.metric),
            f"{where}: every encoder, preprocessing and method, sorted by {run.metric}.",
        )
        parts.append(section(f"{run.metric.capitalize()}: {where}", curve + families(run, rows)))
    away = [pair for pair in run.tests if pair[0] != pair[1]]
    pairs = [(run.rows(*pair), pair) for pair in away]
    shift = list(run.table["shift"])
    if shift:
        caption = f"{run.metric.capitalize()} in domain against that elsewhere; on the line nothing is lost."
        parts.append(section("In domain and elsewhere", figure(plots.id_ood(shift, run.metric), caption) + gaps(shift)))
    differences = "".join(
        figure(
            plots.differences(rows, run.metric),
            f"{escape(source)} to {escape(test)}: difference to the baseline probe.",
        )
        for rows, (source, test) in pairs
        if any("minus_same" in row for row in rows)
    )
    if differences:
        told = (
            "The baseline is the best probe under the same preprocessing, its encoder chosen on the source's select part "
            "alone. An interval that holds 0 says that the two cannot be told apart."
        )
        parts.append(
            section("Paired differences to the best baseline probe", f"<p>{told}</p>{differences}{paired(run)}")
        )
    if len({row["source"] for row in run.table["goal"]}) > 1:
        parts.append(matrices(run))
    return parts


def families(run: Run, rows: list[dict[str, Any]]) -> str:
    """Return the table of every family under every preprocessing."""
    preprocessing = list(run.recipe["preprocessing"])
    names = list(dict.fromkeys((row["method"], row["encoder"]) for row in rows))
    cells = {(row["method"], row["encoder"], row["preprocessing"]): row for row in rows}
    lines = [
        [escape(method), escape(encoder), *(interval(cells.get((method, encoder, one))) for one in preprocessing)]
        for method, encoder in names
    ]
    return grid(["method", "encoder", *map(escape, preprocessing)], lines)


def paired(run: Run) -> str:
    """Return the table of paired differences."""
    lines = [
        [escape(row[key]) for key in ("source", "test", "method", "encoder", "preprocessing")]
        + [signed(row.get("minus_same")), signed(row.get("minus_any"))]
        for pair in run.tests
        for row in run.rows(*pair)
    ]
    heads = ["source", "test", "method", "encoder", "preprocessing", "same preprocessing", "any preprocessing"]
    return f"<details><summary>All differences, in points</summary>{grid(heads, lines)}</details>"


def gaps(rows: list[dict[str, Any]]) -> str:
    """Return the table of ID, OOD, gap and average."""
    lines = [
        [escape(str(row[key])) for key in ("source", "test", "seed", "method", "encoder", "preprocessing")]
        + [interval(row[key]) for key in ("id", "ood", "gap", "avg")]
        for row in rows
    ]
    heads = ["source", "test", "seed", "method", "encoder", "preprocessing", "ID", "OOD", "gap", "Avg"]
    return f"<details><summary>ID, OOD, gap and average of every row</summary>{grid(heads, lines)}</details>"


def matrices(run: Run) -> str:
    """Return a source by test table for each method, encoder and preprocessing."""
    sources = list(dict.fromkeys(source for source, _ in run.tests))
    tests = list(dict.fromkeys(test for _, test in run.tests))
    found: dict[tuple[str, str, str], dict[tuple[str, str], Any]] = {}
    for source, test in run.tests:
        for row in run.rows(source, test):
            found.setdefault((row["method"], row["encoder"], row["preprocessing"]), {})[source, test] = row
    parts = []
    for name, cells in found.items():
        lines = [[escape(source), *(interval(cells.get((source, test))) for test in tests)] for source in sources]
        away = [cells[pair]["value"] for pair in cells if pair[0] != pair[1] and cells[pair]["value"] is not None]
        told = f"Away from home: mean {points(sum(away) / len(away))}, worst {points(min(away))}." if away else ""
        parts.append(
            f"<h3>{escape(', '.join(name))}</h3>{grid(['learned at', *map(escape, tests)], lines)}<p>{told}</p>"
        )
    return section("Site by site", "".join(parts))


def controls_of(run: Run) -> str:
    """Return the rows of controls and ablations beside those that they control."""
    methods = {name: entry["method"] or name for name, entry in run.recipe["methods"].items()}
    those = [name for name, method in methods.items() if method in CONTROLS]
    if not those:
        return section("Controls", "<p>Unmeasured: the recipe has no control.</p>")
    lines = [
        [escape(row[key]) for key in ("source", "test", "method", "encoder", "preprocessing")] + [interval(row)]
        for pair in run.tests
        for row in run.rows(*pair)
        if row["method"] in those
    ]
    told = (
        "<p>Random and permuted concepts keep the number of concepts and take their meaning: a bottleneck that does no better "
        "carries none. The prior alone (W = P) tells what text knows without a label; the probe on concepts tells what the "
        "prior adds.</p>"
    )
    heads = ["source", "test", "control", "encoder", "preprocessing", run.metric]
    return section("Controls", told + grid(heads, lines))


def more_of(run: Run) -> str:
    """Return the other figures of every cell."""
    cells: dict[tuple[str, ...], dict[str, Any]] = {}
    keys = ("source", "test", "seed", "method", "encoder", "preprocessing")
    for row in run.table["figures"]:
        cells.setdefault(tuple(str(row[key]) for key in keys), {})[row["metric"]] = row
    lines = [[*map(escape, name), *(interval(found.get(one)) for one in MORE)] for name, found in cells.items()]
    heads = [*keys, *(one.replace("_", " ") for one in MORE)]
    body = f"<details><summary>{len(lines)} rows</summary>{grid(heads, lines)}</details>"
    told = "<p>ECE and Brier hold for the mix of classes at each site; balanced accuracy, recall and AUROC do not depend on it.</p>"
    return section("Calibration and other figures", told + body)


def cards_of(run: Run) -> str:
    """Return a card a method: options, concepts, and what nobody measured."""
    parts = []
    for name, entry in run.recipe["methods"].items():
        fits = [cell for cell in run.cells if cell["cell"]["method"] == name]
        grounded = [one for cell in fits for one in cell["grounding"] if not one["skipped"]]
        known = [one["auroc"] for one in grounded if one.get("auroc") is not None]
        away = any(metric.startswith("concept_auroc/") for cell in fits for metric in _away(cell))
        listed = {
            "method": escape(entry["method"] or name),
            "options": code(str(entry["options"]), 200) if entry["options"] else "those of the method",
            "fits": str(len(fits)),
            "concepts": f"{len(grounded) / len(fits):.0f} a fit" if fits and grounded else "none: a black box",
            "held-out AUROC of concepts at the reference": f"{sum(known) / len(known):.2f}" if known else "unmeasured",
            "concepts at other sites": "measured, see above" if away else "unmeasured: nobody annotated them there",
            "sex, age and skin groups": "unmeasured",
            "use by readers": "unmeasured",
        }
        body = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in listed.items())
        parts.append(f'<div class="card"><h3>{escape(name)}</h3><dl>{body}</dl></div>')
    return section("Model cards", f'<div class="cards">{"".join(parts)}</div><p class="notice">{NOTICE}</p>')


def _away(cell: dict[str, Any]) -> list[str]:
    return [metric for test, scores in cell["scores"].items() if test != cell["cell"]["source"] for metric in scores]


def refused_of(run: Run) -> str:
    """Return the cells whose method refused."""
    if not run.refused:
        return ""
    lines = [[escape("--".join(map(str, one["cell"].values()))), escape(one["message"])] for one in run.refused]
    return section("Not applicable", grid(["cell", "why"], lines))
