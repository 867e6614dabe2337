"""`conda`: test-time adaptation of a concept bottleneck to unlabelled studies (Choi et al., ICLR 2025; M15).

Three corrections, batch after batch, the state carried on: CSA turns the concept vectors towards the source's Gaussians of
each class, LPA refits the head, RCB adds new concepts. Pseudo-labels are those of the source model; the zero-shot model of
the paper, whose vote counts where it is surer, is no part of a pipeline. Ours are the units of the rates (see
`conda_steps`), squared cosines, the two guards and the whole fit before a study is predicted, where the paper adapts and
predicts in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from osler.adapt.adapter import concept_values, patch_of
from osler.adapt.adapters.concept_lda import shrunk
from osler.adapt.changes import tuples
from osler.adapt.conda_steps import CondaModel, CondaRates, CondaSource, adapted
from osler.adapt.feature_changes import ProjectionChange, ResidualConcepts
from osler.adapt.new_head import replaced_head, source_head
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import SourceUnits, unlabelled
from osler.bottleneck.affine import unit_norm
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features, Support, columns
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.scorers.margin import MarginScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FEWEST = 16  # Studies of the site, a quarter of which judges.
DIGITS = 6  # Numbers of the record, counted from the largest of its kind.
NAMED = 10


@dataclass(frozen=True)
class Conda(CondaRates):
    """The adapter; see `CondaRates` for how the steps are taken.

    Attributes:
        csa: Whether concept scores are aligned.
        lpa: Whether the head is adapted.
        rcb: Whether new concepts are added.
        residuals: Number of new concepts.
        batch: Studies in a batch.
        agreement: Least share of studies whose pseudo-label is their nearest class too.
        held_out: Share of the studies that no step sees, and that judge.
        seed: Of batches and of the start of new concepts.
    """

    csa: bool = True
    lpa: bool = True
    rcb: bool = True
    residuals: int = 5
    batch: int = 128
    agreement: float = 0.6
    held_out: float = 0.25
    seed: int = 0

    name: ClassVar[str] = "conda"
    needs_labels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if min(self.steps, self.residuals) < 0 or self.batch < 1 or not 0 < self.held_out < 1 or self.rate <= 0:
            raise OslerError(
                Code.USAGE,
                f"{self.steps} steps at rate {self.rate:g} on batches of {self.batch}, {self.residuals} new concepts and "
                f"{self.held_out:g} held out are no settings of CONDA.",
                "Give 0 or more steps and new concepts, batches of 1 or more, and a share between 0 and 1.",
            )

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch on every measured study; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts, or concepts are to be
                changed and are not scored by one vector each.
        """
        bound = CondaFit.bind(pipeline, self)
        features = bound.measured(support)
        n = len(features)
        made: dict[str, Any] = {}
        guards: tuple[GuardOutcome, ...] = ()
        if n < FEWEST:
            reason = f"No change: {n} unlabelled studies are too few, {FEWEST} are the least."
        elif not self.steps or not (self.csa or self.lpa or (self.rcb and self.residuals)):
            reason = "No change: no step was asked for."
        else:
            guards, model = bound.adapt(features)
            failed = [one.sentence for one in guards if not one.passed]
            reason = f"No change: {failed[0]}" if failed else f"{self._said} adapted on {n} unlabelled studies."
            made = {} if failed else bound.changes(model)
        return patch_of(self, pipeline, support, created=created, reason=reason, guards=guards, **made)

    @property
    def _said(self) -> str:
        parts = (("concept vectors", self.csa), ("head", self.lpa), ("new concepts", self.rcb and self.residuals > 0))
        return ", ".join(name for name, on in parts if on).capitalize()


@dataclass(frozen=True, eq=False)
class CondaFit:
    """CONDA bound to one model.

    Attributes:
        pipeline: The model.
        settings: The settings.
        units: Units of concept values.
        start: The source model in them.
        source: What stays.
        normalised: Whether the scorer divides features by their length; None where the head alone changes, and concept values
            stand for features.
    """

    pipeline: Pipeline
    settings: Conda
    units: SourceUnits
    start: CondaModel
    source: CondaSource
    normalised: bool | None

    @classmethod
    def bind(cls, pipeline: Pipeline, settings: Conda) -> CondaFit:
        """Bind the settings to a model; see `Conda.fit`."""
        weights, bias = source_head(pipeline)
        units, temperature = SourceUnits.total(pipeline), pipeline.calibration.temperature
        C, beta, squashed, normalised = _vectors(pipeline, settings)
        W, b = units.folded(weights / temperature, bias / temperature)
        K, r = len(b), settings.residuals if settings.rcb else 0
        new = np.random.default_rng(settings.seed).normal(size=(r, C.shape[1])) / np.sqrt(C.shape[1])
        start = CondaModel(C, beta, W, b, new, np.zeros((K, r)), np.zeros(K))
        means, precisions = _gaussians(pipeline, units)
        return cls(
            pipeline,
            settings,
            units,
            start,
            CondaSource(squashed, units.mean, units.std, means, precisions),
            normalised,
        )

    def measured(self, support: Support) -> Features:
        """Return the features of every study whose concepts could be measured, in an order of their own."""
        features = unlabelled(support)
        values = concept_values(self.pipeline, Support(features, None, support.site))
        return features.rows(np.flatnonzero(np.isfinite(values).all(axis=1)))

    def adapt(self, features: Features) -> tuple[tuple[GuardOutcome, ...], CondaModel]:
        """Return what the guards say, and the adapted model: the source's where pseudo-labels are not to be trusted."""
        x = self.seen(features)
        pseudo = self.logits(x, self.start).argmax(axis=1)
        share = float((self.nearest(x, self.start) == pseudo).mean())
        trusted = GuardOutcome(
            "pseudo-label-agreement",
            share >= self.settings.agreement,
            self.settings.agreement,
            share,
            f"Of {len(x)} studies, {share:.0%} lie nearest to the class that the model names; "
            f"{self.settings.agreement:.0%} are the least.",
        )
        if not trusted.passed:
            return (trusted,), self.start
        order = np.random.default_rng(self.settings.seed).permutation(len(x))
        kept = max(round(self.settings.held_out * len(x)), 1)
        held, used = order[:kept], order[kept:]
        places = [used[i : i + self.settings.batch] for i in range(0, len(used), self.settings.batch)]
        model = adapted(
            self.start,
            self.source,
            [(x[rows], pseudo[rows]) for rows in places],
            self.settings,
            csa=self.settings.csa,
            lpa=self.settings.lpa,
            rcb=self.settings.rcb,
        )
        return (trusted, self.judged(x[held], model)), model

    def judged(self, x: Array, model: CondaModel) -> GuardOutcome:
        """Compare how head and nearest class agree on studies that no step saw, before and after."""
        before, after = (
            float((self.logits(x, one).argmax(axis=1) == self.nearest(x, one)).mean()) for one in (self.start, model)
        )
        sentence = f"On {len(x)} held-out studies of the site, head and nearest class agree in {before:.0%} before, {after:.0%} after."
        return GuardOutcome("held-out-agreement", after >= before, before, after, sentence)

    def seen(self, features: Features) -> Array:
        """Return the features (n, D) as the scorer sees them."""
        if self.normalised is None:
            return concept_values(self.pipeline, Support(features, None, ""))
        return np.asarray(features.pooled / unit_norm(features, self.normalised))

    def values(self, x: Array, model: CondaModel) -> Array:
        """Return standardised concept values (n, C)."""
        return np.asarray(self.source.values(x @ model.C.T + model.beta).numpy())

    def logits(self, x: Array, model: CondaModel) -> Array:
        """Return logits (n, K), divided by the temperature."""
        unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        beside = unit @ model.new.T @ model.new_weights.T + model.new_bias
        return np.asarray(self.values(x, model) @ model.W.T + model.b + beside)

    def nearest(self, x: Array, model: CondaModel) -> NDArray[np.intp]:
        """Return the class (n,) whose Gaussian lies nearest in concept space."""
        apart = self.values(x, model)[None] - self.source.means[:, None]
        return np.asarray(((apart @ self.source.precisions) * apart).sum(axis=2).argmin(axis=0))

    def changes(self, model: CondaModel) -> dict[str, Any]:
        """Return what becomes of the model as parts of a patch."""
        made: dict[str, Any] = {}
        if self.settings.csa:
            made["projection"] = self._projection(model)
        if self.settings.lpa:
            made["head"] = replaced_head(self.pipeline, *self.units.unfolded(model.W, model.b))
        if self.settings.rcb and len(model.new):
            made["residual"] = self._residual(model)
        return made

    def _projection(self, model: CondaModel) -> ProjectionChange:
        concepts, source = self.pipeline.bank.concepts, self.start
        turned = 1 - _cosines(model.C, source.C)
        sentences = tuple(
            f"turned *{concepts[c].name}* by {np.degrees(np.arccos(1 - turned[c])):.1f} degrees"
            for c in np.argsort(-turned, kind="stable")[:NAMED]
        )
        return ProjectionChange(
            self.pipeline.bank.ids,
            tuples(_short(model.C - source.C)),
            tuples(_short(model.beta - source.beta)),
            bool(self.normalised),
            sentences,
        )

    def _residual(self, model: CondaModel) -> ResidualConcepts:
        temperature = self.pipeline.calibration.temperature
        likeness = np.stack([_cosines(model.C, one[None]) for one in model.new])
        nearest = np.abs(likeness).argmax(axis=1)
        sentences = tuple(
            f"new concept {number + 1}, nearest to *{self.pipeline.bank.concepts[c].name}* "
            f"(cosine {likeness[number, c]:+.2f}); no text names it"
            for number, c in enumerate(nearest)
        )
        parts = (model.new, temperature * model.new_weights, temperature * model.new_bias)
        directions, weights, bias = (tuples(_short(part)) for part in parts)
        return ResidualConcepts(directions, weights, bias, sentences)


def _vectors(pipeline: Pipeline, settings: Conda) -> tuple[Array, Array, bool, bool | None]:
    """Return vectors (C, D) and intercepts (C,) of the scores, whether they are squashed, and features normalised.

    Raises:
        OslerError: `model-invalid` where they are needed and the scorer has none.
    """
    scorer, ids = pipeline.scorer, pipeline.bank.ids
    if not (settings.csa or settings.rcb):
        return np.eye(len(ids)), np.zeros(len(ids)), False, None
    if isinstance(scorer, LogisticScorer):
        rows = columns(scorer.ids, ids, "scorer")
        return scorer.weights[rows].astype(float), scorer.intercept[rows].astype(float), True, scorer.normalised
    if isinstance(scorer, MarginScorer):
        rows = columns(scorer.ids, ids, "scorer")
        length = np.linalg.norm(scorer.vectors[rows], axis=1)
        vectors = (scorer.vectors[rows] / length[:, None]).astype(float)
        return vectors, np.asarray(scorer.intercept[rows] / length, float), False, scorer.normalised
    raise OslerError(
        Code.MODEL_INVALID,
        "The model does not score its concepts by one vector of features each, so CONDA cannot turn or add any.",
        "Set csa and rcb to false: the head alone is adapted then.",
    )


def _gaussians(pipeline: Pipeline, units: SourceUnits) -> tuple[Array, Array]:
    """Return means (K, C) and inverse covariances (K, C, C) of each class, shrunk towards its variances."""
    source = pipeline.source.aligned(pipeline.bank.ids)
    precisions = []
    for k in range(len(pipeline.classes)):
        own = units(source.values[source.y == k])
        residuals = own - own.mean(axis=0) if len(own) else own
        precisions.append(np.linalg.inv(shrunk(residuals, len(own) - 1, np.diag((source.std[k] / units.std) ** 2))[1]))
    return units(source.mean), np.stack(precisions)


def _cosines(a: Array, b: Array) -> Array:
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.clip((a * b).sum(axis=1) / np.where(length > 0, length, 1.0), -1, 1))


def _short(numbers: Array) -> Array:
    """Return numbers without the digits that nobody needs: there may be hundreds of thousands in a record."""
    largest = float(np.abs(numbers).max(initial=0))
    return numbers if largest == 0 else np.round(numbers, DIGITS - int(np.floor(np.log10(largest))))


ADAPTER = Conda
