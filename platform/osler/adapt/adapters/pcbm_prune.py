"""`pcbm_prune`: links between a class and a concept cut at one site (M3 editing), by hand or where the shots ask for it.

A link that is cut weighs nothing: the class's logit loses `W[k,c] a_c`, the other classes' stay to the bit. With
`normalise` the class's other weights are scaled until they add up, by amount, to what they did.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.changes import HeadChange
from osler.adapt.guards import Guard, LeaveOneShotOut, WeightEdit, source_guard, strongest
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import shots
from osler.adapt.tti_steps import Labels, find_flags, link_costs
from osler.bottleneck.heads.edited import EditedHead, HeadEdit, Step
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Pair = tuple[str, str]


@dataclass(frozen=True)
class PcbmPrune:
    """Links of the head cut at a site.

    Attributes:
        pairs: Class and concept identifier of each link to cut: a person's word, so the guards measure but do not forbid.
            Empty: the links that cost the shots' margin most, if the guards agree.
        normalise: Whether the class's other weights are scaled to their former sum of amounts.
        fdr: False-discovery rate over all classes and concepts, where links are chosen.
        agreement: Share of one class's shots that must flag a link before it is cut.
        share: Links that are cut at most, as a share of the number of concepts.
        source_tolerance: How much the ungated source accuracy may fall, as a fraction.
        min_shots: Fewest shots a class.
    """

    pairs: tuple[Pair, ...] = ()
    normalise: bool = False
    fdr: float = 0.1
    agreement: float = 0.5
    share: float = 0.1
    source_tolerance: float = 0.005
    min_shots: int = 1

    name: ClassVar[str] = "pcbm_prune"
    needs_labels: ClassVar[bool] = True

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`. Links that are named need no labels.

        Raises:
            OslerError: `usage` where a named link is none of the model's; `support-insufficient` where links are to be
                chosen; `model-invalid` where the head is not linear in concepts.
        """
        model = LinearModel.of(pipeline)
        if self.pairs:
            _require_known(pipeline, self.pairs)
            change = self._cut(pipeline, model, self.pairs)
            guards = tuple(judge(1.0) for judge in self._judges(pipeline, model, support, change))
            said = [f"cut *{_concept(model, c)}* from {_plain(k)}: by hand" for k, c in self.pairs]
            return self._patch(pipeline, support, created, change, said, _by_hand(change, self.pairs, guards), guards)
        values, y = shots(pipeline, support, self.min_shots)
        pairs = self._choose(model, values, y)
        change = self._cut(pipeline, model, pairs)
        if change.empty:
            reason = "No change: no link costs these studies margin beyond chance."
            return self._patch(pipeline, support, created, change, [], reason, ())
        left_out = LeaveOneShotOut.fit(
            values, y, lambda some, their_y: self._cut(pipeline, model, self._choose(model, some, their_y)), change
        )
        blend, guards = strongest((1.0,), model.guards(change, left_out, self.source_tolerance))
        if not blend:
            change = WeightEdit(np.zeros_like(change.weights))
        said = self._sentences(model, values, y, pairs)
        return self._patch(pipeline, support, created, change, said, _chosen(pairs, guards), guards)

    def _choose(self, model: LinearModel, values: Array, y: Labels) -> tuple[Pair, ...]:
        """Return the costliest links that enough shots of a class agree on; ties by concept, then class."""
        costs, agreed = self._costs(model, values, y)
        eligible = np.argwhere((costs > 0) & (agreed >= self.agreement)).tolist()
        ranked = sorted(eligible, key=lambda place: (-costs[tuple(place)], model.ids[place[1]], place[0]))
        return tuple((model.classes[k], model.ids[c]) for k, c in ranked[: ceil(self.share * len(model.ids))])

    def _costs(self, model: LinearModel, values: Array, y: Labels) -> tuple[Array, Array]:
        flagged, rival = find_flags(model.logits(values), values, y, model.weights, model.source, fdr=self.fdr)
        return link_costs(values, y, rival, model.weights, model.neutral, flagged)

    def _cut(self, pipeline: Pipeline, model: LinearModel, pairs: tuple[Pair, ...]) -> WeightEdit:
        steps = tuple(Step(k, c, "prune_normalise" if self.normalise else "prune") for k, c in pairs)
        order = columns(pipeline.head.ids, pipeline.bank.ids, "head")
        head = EditedHead(pipeline.head, pipeline.classes, (HeadEdit(self.name, steps),))
        return WeightEdit(head.weights()[:, order] - model.weights)

    def _judges(self, pipeline: Pipeline, model: LinearModel, support: Support, change: WeightEdit) -> list[Guard]:
        """Return the guards of links that a person named: with labels every shot is one that nothing was fitted on."""
        held = model.source
        judges = [source_guard(model.logits, held.values, held.y, change, self.source_tolerance)]
        if support.y is None or not len(support.y):
            return judges
        values, y = shots(pipeline, support, min_shots=0)
        judged = LeaveOneShotOut(values, y, (change,) * len(y), (False,) * len(y))
        return [judged.guard(model.logits), *judges]

    def _sentences(self, model: LinearModel, values: Array, y: Labels, pairs: tuple[Pair, ...]) -> list[str]:
        costs, agreed = self._costs(model, values, y)
        said = []
        for k, c in pairs:
            place = model.classes.index(k), model.ids.index(c)
            said.append(
                f"cut *{_concept(model, c)}* from {_plain(k)}: its weight {model.weights[place]:+.3g} cost a mean margin of "
                f"{costs[place]:.3g} and misled {agreed[place]:.0%} of the studies of a class at this site"
            )
        return said

    def _patch(
        self,
        pipeline: Pipeline,
        support: Support,
        created: str,
        change: WeightEdit,
        said: list[str],
        reason: str,
        guards: tuple[GuardOutcome, ...],
    ) -> SitePatch:
        head = HeadChange.of(pipeline.classes, pipeline.bank.ids, change.weights, np.zeros(len(pipeline.classes)), said)
        return patch_of(
            self,
            pipeline,
            support,
            created=created,
            reason=reason,
            head=None if change.empty else head,
            guards=guards,
        )


def _require_known(pipeline: Pipeline, pairs: tuple[Pair, ...]) -> None:
    for pair in pairs:
        for what, given, known in zip(("class", "concept"), pair, (pipeline.classes, pipeline.bank.ids), strict=True):
            if given not in known:
                near = get_close_matches(given, known, n=3, cutoff=0) or known[:3]
                raise OslerError(
                    Code.USAGE,
                    f"The model has no {what} {given!r}, so nothing can be cut from it.",
                    f"Name a class and a concept identifier of the model, such as {', '.join(near)}.",
                )


def _concept(model: LinearModel, one: str) -> str:
    return model.names[model.ids.index(one)]


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _links(pairs: tuple[Pair, ...]) -> str:
    return f"{len(pairs)} link{'' if len(pairs) == 1 else 's'}"


def _by_hand(change: WeightEdit, pairs: tuple[Pair, ...], guards: tuple[GuardOutcome, ...]) -> str:
    if change.empty:
        return "No change: the links that were named weigh nothing as it is."
    against = " ".join(guard.sentence for guard in guards if not guard.passed)
    return f"{_links(pairs)} cut by hand." + (f" The guards would not have: {against}" if against else "")


def _chosen(pairs: tuple[Pair, ...], guards: tuple[GuardOutcome, ...]) -> str:
    failed = "; ".join(guard.sentence.rstrip(".") for guard in guards if not guard.passed)
    if failed:
        return f"No change: cutting {_links(pairs)} would not pass the guards ({failed})."
    return f"{_links(pairs)} cut, as the support asks and the guards allow."


ADAPTER = PcbmPrune
