"""`osler adapt`: a few labelled studies of a site to a patch."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "fit a site patch on a few labelled studies of a site"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler adapt`."""
    parser.add_argument("--site", required=True, help="the site to adapt to")
    parser.add_argument("--model", required=True, metavar="NAME", help="a model of the workspace")
    parser.add_argument(
        "--support",
        metavar="CSV|labels",
        default="labels",
        help="a table with study_uid and label, or `labels` to draw from labelled studies of the archive (default)",
    )
    parser.add_argument("--shots", type=int, default=4, help="studies of each class to draw (default: 4)")
    parser.add_argument("--label", default="finding", help="name of the archive's label (default: finding)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument(
        "--source-tolerance", type=float, help="how much the ungated source accuracy may fall (fraction)"
    )
    parser.add_argument("--activate", action="store_true", help="put the patch in force at once")
    parser.add_argument("--date", type=date.fromisoformat, help="ISO date that the patch bears (default: today)")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Fit a patch and keep it, in force with --activate, proposed without."""
    from osler.adapt.adapters.tti_reading import TtiReading
    from osler.adapt.support import draw_support, gather_support, read_support
    from osler.adapt.support_store import SupportStore
    from osler.cli.patch import shown
    from osler.explain.service import StudyExplainer
    from osler.workspace import Workspace

    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model)
    archive, classes = explainer.archive, explainer.pipeline.classes
    chosen = (
        draw_support(
            archive, arguments.site, label=arguments.label, classes=classes, shots=arguments.shots, seed=arguments.seed
        )
        if arguments.support == "labels"
        else read_support(Path(arguments.support))
    )
    support = gather_support(archive, arguments.site, chosen, classes, explainer.features)
    tolerance = arguments.source_tolerance
    adapter = TtiReading() if tolerance is None else TtiReading(source_tolerance=tolerance)
    today = (arguments.date or date.today()).isoformat()
    patch = adapter.fit(explainer.pipeline, support, created=today)
    explainer.patches.save(patch)
    SupportStore(explainer.workspace.patches).keep(support.study_uids)
    if arguments.activate and not patch.changes_nothing:
        patch = explainer.patches.activate(patch, today)
    return shown(patch)
