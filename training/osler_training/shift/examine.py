"""What M19 asks of a bottleneck beside its accuracy: what corrections are worth, what leaks, how few concepts carry it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from osler_training.evaluate.bottleneck_report import BottleneckReport, ReportRule
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.shift.markup import escape, grid, interval, section
from osler_training.shift.problems import Setting

HEADS = ("source", "test", "method", "encoder", "preprocessing")


def examined(classifier: BottleneckClassifier, setting: Setting, *, seed: int) -> dict[str, Any]:
    """Return interventions, leakage and sparsity at every test; see `BottleneckReport`."""
    problem = setting.problem
    rule = ReportRule(replicates=setting.recipe.replicates)
    report = BottleneckReport(classifier.pipeline, setting.bank.ids, problem.train, problem.select, rule, seed)
    tests = {name: setting.cohort(setting.batch_of(name), rows) for name, (_, rows) in setting.parts.tests.items()}
    return report.of(tests)


def examined_section(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of the page, empty where no method was examined."""
    lines = [
        [
            *(escape(str({**cell["cell"], "test": test}[key])) for key in HEADS),
            interval(_figure(one, "interventions", "random", "gain"), sign=True),
            interval(_figure(one, "interventions", "random", "auic"), sign=True),
            interval(_figure(one, "interventions", "coop", "auic"), sign=True),
            interval(_figure(one, "soft_hard", "gap"), sign=True),
            _number(_figure(one, "residual_information", "gain")),
            _number(cell["examined"]["nec"]),
            _number(_figure(one, "ncc")),
        ]
        for cell in cells
        if "examined" in cell
        for test, one in cell["examined"]["tests"].items()
    ]
    if not lines:
        return ""
    told = (
        "<p>Gain: what balanced accuracy gains when every annotated concept is corrected; AUIC: the mean gain on the way, in "
        "random order and by CooP. Soft less hard: what values tell beyond yes and no. Residual information: nats a study that "
        "the values tell of the class beyond the annotated concepts. NEC: concepts a class in effect; NCC: concepts that carry 95% "
        "of a decision. Unmeasured where nobody annotated concepts.</p>"
    )
    heads = [*HEADS, "gain", "AUIC, random", "AUIC, CooP", "soft less hard", "residual information", "NEC", "NCC"]
    return section("What corrections are worth, and what leaks", told + grid(heads, lines))


def _figure(found: Mapping[str, Any], *path: str) -> Mapping[str, Any] | None:
    for key in path:
        if "unmeasured" in found or key not in found:
            return None
        found = found[key]
    return None if "unmeasured" in found else found


def _number(figure: Any) -> str:
    value = figure.get("value") if isinstance(figure, Mapping) else figure
    return "unmeasured" if value is None else f"{value:.2f}"
