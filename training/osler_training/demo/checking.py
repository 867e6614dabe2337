"""What the demonstration checks of its models before anyone sees an explanation of theirs."""

from __future__ import annotations

from collections.abc import Mapping

from osler.archive import Archive
from osler.workspace import Workspace
from osler_training.demo.experiment import Progress, Setting
from osler_training.evaluate.explanations import validate
from osler_training.experiments.confounded import Fitted
from osler_training.experiments.explained import archived_seen, drawn_seen
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.recipes.recipe import DemoRecipe

DRAWN = 120  # phantoms with masks, beyond those of the archive
APART = 7_000_000  # from the recipe's seed: other patients than any site's


def check_models(
    workspace: Workspace,
    setting: Setting,
    fitted: Mapping[str, Fitted],
    recipe: DemoRecipe,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Check the concepts of every bottleneck on held-out studies, and write it into the model's folder.

    Probabilities are checked on the select and calibrate parts of hospital A, which no concept was learned on; maps on
    phantoms that are drawn for it alone, with the masks of their signs.
    """
    problem, archive = setting.trial.problem, Archive(workspace)
    progress("checking which signs may be called present, and whose places may be shown")
    for name, one in fitted.items():
        if not isinstance(one.classifier, BottleneckClassifier):
            continue
        pipeline = one.classifier.pipeline
        held = archived_seen(archive, [problem.select, problem.calibrate], pipeline.bank)
        located = drawn_seen(
            problem.encoder,
            pipeline.bank,
            problem.classes,
            min(DRAWN, recipe.source_studies),
            workspace.cache / "drawn",
            seed=recipe.seed + APART,
            workers=workers,
        )
        checked = validate(pipeline, held, "held-out phantoms of hospital A", located)
        checked.save(workspace.models / name)
