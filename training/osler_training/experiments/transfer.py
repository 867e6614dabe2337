"""From one real hospital to another: learn at the source, test at both, and say by how much each method falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.tracking import open_tracker
from osler.workspace import Workspace
from osler_knowledge.bank import ConceptBank
from osler_training.experiments.archived import Sites, archived_trial
from osler_training.experiments.confounded import leads, run_confounded
from osler_training.recipes.recipe import Recipe, SplitShares


class TransferRecipe(Recipe):
    """A transfer between two ingested sites.

    Attributes:
        label: Name of the label that holds the class.
        source: Site to learn at.
        target: Site to be carried to.
        reference: Site with reports, for groundings.
        data: What the studies are, as every record will say.
        splits: Shares of the source's patients.
        lead: The method whose lead over the others is reported.
    """

    label: str = "label"
    source: str
    target: str
    reference: str
    data: str
    splits: SplitShares = SplitShares()
    lead: str = "bottleneck_prior"


def run_transfer(
    workspace: Workspace, recipe: TransferRecipe, bank: ConceptBank, *, workers: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Run a transfer on ingested sites, log every method, and return the records as JSON.

    Raises:
        OslerError: `nothing-eligible` where a site has no labelled frontal image.
    """
    trial = archived_trial(
        workspace,
        recipe,
        Sites(recipe.source, recipe.target, recipe.reference),
        label=recipe.label,
        splits=recipe.splits,
        bank=bank,
        encoder=open_encoder(recipe.encoder, sha256=recipe.encoder_sha256),
        provenance={
            "data": recipe.data,
            "recipe": recipe.name,
            "encoder": recipe.encoder,
            "source": recipe.source,
            "target": recipe.target,
        },
        workers=workers,
    )
    fitted = run_confounded(
        trial,
        recipe.methods,
        seed=recipe.seed,
        tracker=open_tracker(workspace),
        experiment="transfer",
        progress=progress,
    )
    return {
        "data": recipe.data,
        "encoder": recipe.encoder,
        "classes": list(recipe.classes),
        "sizes": {name: len(group) for name, group in trial.patients().items()},
        "results": [one.record.to_dict() for one in fitted.values()],
        "leads": {
            name: {key: {"value": one.value, "ci": list(one.ci)} for key, one in by_key.items()}
            for name, by_key in leads(fitted, recipe.lead, seed=recipe.seed).items()
        },
    }
