"""Which concepts moved between sites: where their values went, and whether they still tell what they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from osler_training.shift.markup import escape, grid, interval, section

SHOWN = 15
CONTROLS = ("random_concepts", "permuted_concepts")
Cell = Mapping[str, Any]


def moved_tables(lab: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
    """Return a section for each source: the bottleneck that did best on the source's select part, per preprocessing."""
    recipe = lab["recipe"]
    parts = []
    for source in recipe["source"]:
        best = best_bottlenecks(recipe, [cell for cell in cells if cell["cell"]["source"] == source])
        if best:
            parts.append(
                section(f"Which concepts moved from {escape(source)}", _shifts(lab, best) + _aurocs(lab, best))
            )
    return parts


def best_bottlenecks(recipe: Mapping[str, Any], cells: Sequence[Cell]) -> dict[str, Cell]:
    """Return by preprocessing the first seed's bottleneck that did best on the select part, controls aside."""
    kinds = {name: entry["method"] or name for name, entry in recipe["methods"].items()}
    found: dict[str, Cell] = {}
    for name in recipe["preprocessing"]:
        those = [
            cell
            for cell in cells
            if cell["cell"]["preprocessing"] == name
            and cell["cell"]["seed"] == recipe["seed"]
            and any(cell["concepts"].values())
            and kinds[cell["cell"]["method"]] not in CONTROLS
        ]
        if those:
            found[name] = max(those, key=lambda cell: (_merit(recipe, cell), cell["cell"]["method"]))
    return found


def shift_of(cell: Cell, test: str, concept: str) -> float | None:
    """Return how far a concept's value went, in its deviations within the classes of the source."""
    (_, home), away = next(iter(cell["concepts"].items())), cell["concepts"][test]
    if concept not in home or concept not in away or home[concept]["std"] < 1e-9:
        return None
    return float((away[concept]["mean"] - home[concept]["mean"]) / home[concept]["std"])


def _shifts(lab: Mapping[str, Any], best: Mapping[str, Cell]) -> str:
    columns = [(name, test) for name, cell in best.items() for test in list(cell["concepts"])[1:]]
    concepts = list(dict.fromkeys(one for cell in best.values() for one in next(iter(cell["concepts"].values()))))
    table = {one: [shift_of(best[name], test, one) for name, test in columns] for one in concepts}

    def farthest(one: str) -> float:
        return max((abs(x) for x in table[one] if x is not None), default=0.0)

    order = sorted(concepts, key=farthest, reverse=True)[:SHOWN]
    lines = [[_name(lab, one), *(_shade(x) for x in table[one])] for one in order]
    heads = ["concept", *(f"{escape(test)}<br><small>{escape(name)}</small>" for name, test in columns)]
    which = ", ".join(f"{escape(name)}: {escape(cell['cell']['method'])}" for name, cell in best.items())
    told = (
        f"<p>Change of the mean value, the classes weighed alike, in standard deviations within the classes of the source "
        f"(the {len(order)} farthest of {len(concepts)}). Bottlenecks, by preprocessing: {which}.</p>"
    )
    return told + grid(heads, lines)


def _aurocs(lab: Mapping[str, Any], best: Mapping[str, Cell]) -> str:
    """Return the AUROC of concepts wherever somebody annotated them."""
    columns = [
        (name, test)
        for name, cell in best.items()
        for test, scores in cell["scores"].items()
        if any(metric.startswith("concept_auroc/") for metric in scores)
    ]
    if not columns:
        return "<p>AUROC of concepts: unmeasured, nobody annotated them on a test part.</p>"
    names = sorted(
        {
            m.partition("/")[2]
            for name, test in columns
            for m in best[name]["scores"][test]
            if m.startswith("concept_auroc/")
        }
    )
    lines = [
        [_name(lab, one), *(interval(best[name]["scores"][test].get(f"concept_auroc/{one}")) for name, test in columns)]
        for one in names
    ]
    tests = {test for _, test in columns}
    silent = [test for test in next(iter(best.values()))["scores"] if test not in tests]
    note = f"<p>Unmeasured at {escape(', '.join(silent))}: nobody annotated concepts there.</p>" if silent else ""
    heads = ["concept", *(f"{escape(test)}<br><small>{escape(name)}</small>" for name, test in columns)]
    return f"<h3>AUROC of concepts</h3>{grid(heads, lines)}{note}"


def _name(lab: Mapping[str, Any], concept: str) -> str:
    return f'<span title="{escape(lab["concepts"].get(concept, ""))}">{escape(concept.replace("_", " "))}</span>'


def _shade(x: float | None) -> str:
    if x is None:
        return "–"
    strength = min(abs(x) / 2, 1) * 0.55
    colour = f"rgba({'213,94,0' if x > 0 else '0,114,178'},{strength:.2f})"
    return f'<span style="background:{colour};padding:1px 6px">{x:+.2f}</span>'


def _merit(recipe: Mapping[str, Any], cell: Cell) -> tuple[float, float]:
    select = cell["select"]
    return select[recipe["goal_metric"]], -select["cross_entropy"]
