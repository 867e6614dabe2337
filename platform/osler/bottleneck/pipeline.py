"""The pipeline of every method: encoder, bank, scorer, head, calibration, and what it remembers of its source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.correction import FittedCorrection, SiteStatistics, site_statistics, through_stage
from osler.bottleneck.protocols import Encoder, Head, Scorer, StatePatch, Statistics, Storable
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, Output, columns
from osler.bottleneck.source import SourceReference
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import require_model_of

_TINY = 1e-300  # A probability that no logit reaches, so that its logarithm is finite.


def kind_of(part: Storable) -> str:
    """Return the kind of a scorer or a head: the name of its module."""
    return type(part).__module__.rpartition(".")[2]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A bottleneck ready to predict.

    Attributes:
        encoder: The encoder, or None where only features are predicted from.
        encoder_digest: Digest of the encoder that the model was fitted with.
        bank: The concepts; their order is the order of every state.
        scorer: Features to concepts.
        head: Concepts to logits.
        classes: Names of the findings, in the order of the logits.
        source: Moments and held-out states of the source.
        calibration: Temperature and operating points.
        patches: Changes by site.
        notes: Who fitted it, how, from what: kept as it is, no part of the digest.
        corrections: Label-free corrections that `predict_site` makes, with the source's statistics; those of images before
            those of features before those of probabilities, otherwise in this order.
        references: Corrections with the source's statistics that a patch may make at a site; by themselves they make none.
    """

    encoder: Encoder | None
    encoder_digest: str
    bank: ConceptBank
    scorer: Scorer
    head: Head
    classes: tuple[str, ...]
    source: SourceReference
    calibration: Calibration = field(default_factory=Calibration)
    patches: Mapping[str, StatePatch] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    corrections: tuple[FittedCorrection, ...] = ()
    references: tuple[FittedCorrection, ...] = ()

    def __post_init__(self) -> None:
        for holder, part in (("scorer", self.scorer), ("head", self.head), ("source reference", self.source)):
            columns(part.ids, self.bank.ids, holder)
            columns(self.bank.ids, part.ids, "bank")
        if self.encoder is not None and self.encoder.digest != self.encoder_digest:
            raise OslerError(
                Code.MODEL_HASH_MISMATCH,
                f"The model was fitted with encoder {self.encoder_digest[:12]}, this one is {self.encoder.digest[:12]}.",
                "Load the encoder that the model names.",
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over encoder, bank, classes, scorer, head and corrections: whatever changes a logit."""
        parts: dict[str, Any] = {"encoder": self.encoder_digest, "bank": self.bank.digest, "classes": self.classes}
        for name, part in (("scorer", self.scorer), ("head", self.head)):
            tensors, record = part.to_artefact()
            hashes = {key: [str(array.dtype), array.shape, _sha256(array)] for key, array in tensors.items()}
            parts[name] = {"kind": kind_of(part), "record": record, "tensors": hashes}
        if self.corrections:  # Models that have none keep the digest that their patches name.
            parts["corrections"] = [one.digest for one in self.corrections]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def neutral(self) -> Array:
        """Value of each concept that says nothing (C,), in the bank's order."""
        return self.source.aligned(self.bank.ids).neutral

    def neutral_logits(self, site: str | None = None) -> Array:
        """Return the logits (K,) where no concept says anything, by the head as it is at a site."""
        return np.asarray(self.predict_values(self.neutral[None], site=site).logits[0])

    def head_weights(self, site: str | None = None, *, beside: bool = False) -> Array:
        """Return the head's weights (K, C) in the bank's order, as they are at a site: what concludes, wholly, with the bias.

        Args:
            site: The site.
            beside: Whether the head may conclude from more than concepts, for a caller that accounts for it.

        Raises:
            OslerError: `model-invalid` where the head is not linear in concepts, or sees more than concepts: contributions
                would leave out what passes beside them.
        """
        weights = self.head.weights()
        if not beside and self.predict_values(self.neutral[None], site=site).residual_logits is not None:
            raise OslerError(
                Code.MODEL_INVALID,
                "The head also concludes from features that no concept names.",
                "Use its method without the residual.",
            )
        if weights is None:
            raise OslerError(
                Code.MODEL_INVALID, "The head is not linear in concepts.", "Use a method made for such heads."
            )
        weights = np.asarray(weights[:, columns(self.head.ids, self.bank.ids, "head")])
        patch = self.patches.get(site or "")
        return weights if patch is None else patch.apply_weights(weights, self.bank.ids, site)

    def predict(self, images: Sequence[Array], *, site: str | None = None) -> Output:
        """Predict from images, each (H, W) or (H, W, 3) in [0, 1].

        Raises:
            OslerError: `part-missing` where the pipeline has no encoder; `input-range`.
        """
        return self.predict_features(self._encode(self._seen(images, site)), site=site)

    def _seen(self, images: Sequence[Array], site: str | None) -> Sequence[Array]:
        patch = self._patch_for(site, None)
        return images if patch is None else patch.apply_images(images, site)

    def predict_site(
        self, images: Sequence[Array], own: SiteStatistics | None = None, *, site: str | None = None
    ) -> Output:
        """Predict images of one site after its own look was corrected; `predict` where there are no corrections.

        What a correction of probabilities adds to logits stands in `residual_logits`: no concept speaks for it.

        Args:
            images: Images, each (H, W) or (H, W, 3) in [0, 1], all of one site.
            own: What `measure_site` measured there; measured from these images where it is not given, stage by stage.
            site: Where they come from, for its patch.

        Raises:
            OslerError: as `predict`; `nothing-eligible` where there are corrections and no images; `model-hash-mismatch`
                where `own` belongs to other corrections.
        """
        return self._at_site(images, own, site)[0]

    def measure_site(self, images: Sequence[Array], *, site: str = "") -> SiteStatistics:
        """Measure images of a site, without labels, for `predict_site`.

        Raises:
            OslerError: as `predict_site`.
        """
        taken = self._at_site(images, None, site or None)[1]
        return site_statistics(self.corrections, taken, images=len(images), site=site)

    def _at_site(
        self, images: Sequence[Array], own: SiteStatistics | None, site: str | None
    ) -> tuple[Output, dict[int, Statistics]]:
        if own is not None:
            own.require_of(self.corrections)
        images, first = through_stage(self.corrections, "image", images, own)
        images = self._seen(images, site)
        features, second = through_stage(self.corrections, "feature", self._encode(images), own)
        output = self.predict_features(features, site=site)
        before = self.calibration.probabilities(output.logits)
        after, third = through_stage(self.corrections, "probability", before, own)
        if third:
            # In units of logits, so that dividing by the temperature gives the corrected probabilities again.
            change = np.log(np.maximum(after, _TINY)) - np.log(np.maximum(before, _TINY))
            added = self.calibration.temperature * change
            beside = added if output.residual_logits is None else output.residual_logits + added
            output = replace(output, logits=output.logits + added, residual_logits=beside)
        return output, first | second | third

    def _encode(self, images: Sequence[Array]) -> Features:
        if self.encoder is None:
            raise OslerError(
                Code.PART_MISSING, "The pipeline has no encoder.", "Give one to load_bottleneck, or predict features."
            )
        return self.encoder.encode(images, tokens=bool(getattr(self.scorer, "needs_tokens", False)))

    def predict_features(
        self,
        features: Features,
        *,
        site: str | None = None,
        patch: StatePatch | None = None,
        clamp: tuple[BoolArray, Array] | None = None,
    ) -> Output:
        """Predict from features: score, patch, clamp, conclude.

        Args:
            features: Features of B studies.
            site: Where the studies come from. A patch changes nothing elsewhere, and nothing where no site is named.
            patch: A patch to use instead of the pipeline's own.
            clamp: Mask and truth (B, C) in the bank's order, 0 absent and 1 present; the head receives values in
                `correction_range`. A correction outweighs a patch: it is what was seen.
        """
        patch = self._patch_for(site, patch)
        state, features = self._scored(features, site, patch)
        if clamp is not None:
            state = self._corrected(state, *clamp)
        return self._concluded(state, features, site, patch)

    @cached_property
    def correction_range(self) -> Array:
        """What the head receives of a concept that a reader calls absent and present (C, 2), in the bank's order.

        No more than the head saw at the source: it was fitted on what the scorer makes of images, which seldom is certain
        (M19.1).
        """
        C = len(self.bank.ids)
        blank = np.zeros((1, 1, C))
        state = ConceptState(blank[..., None], np.zeros(blank.shape, np.bool_), self.bank.ids, logit=blank, prob=blank)
        everything = np.ones((1, C), np.bool_)
        ends = [self.scorer.clamp(state, everything, np.full((1, C), one)).static[0] for one in (0.0, 1.0)]
        low, high = self.source.aligned(self.bank.ids).spanned.T
        return np.stack([np.clip(end, low, high) for end in ends], axis=1)

    def _corrected(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Return a state with the concepts under `mask` (B, C) set to `truth` (B, C), within what the head knows."""
        state = self.scorer.clamp(state, mask, truth)
        low, high = self.correction_range.T
        wanted = low + np.where(mask, truth, 0) * (high - low)
        chosen = mask[:, None, :, None]
        return replace(state, value=np.where(chosen, wanted[:, None, :, None], state.value))

    def state(self, features: Features, *, site: str | None = None, patch: StatePatch | None = None) -> ConceptState:
        """Score and patch: what the head concludes from where nobody corrects a concept. See `predict_features`."""
        return self._scored(features, site, self._patch_for(site, patch))[0]

    def _scored(self, features: Features, site: str | None, patch: StatePatch | None) -> tuple[ConceptState, Features]:
        """Return the state, and the features as the patch has them: a head may look at both."""
        if patch is None:
            return self.scorer.score(features, self.bank), features
        features = patch.apply_features(features, site)
        return patch.apply_state(self.scorer.score(features, self.bank), site, features), features

    def _patch_for(self, site: str | None, patch: StatePatch | None) -> StatePatch | None:
        return patch if patch is not None else self.patches.get(site or "")

    def predict_values(self, values: Array, *, site: str | None = None) -> Output:
        """Conclude from static concept values (B, C) in the bank's order, by the head as it is at a site.

        The values are taken as they stand: what a patch does to images, features or concepts is not done again.
        """
        state = ConceptState(
            value=values[:, None, :, None],
            clamped=np.zeros((len(values), 1, values.shape[1]), np.bool_),
            ids=self.bank.ids,
        )
        return self._concluded(state, Features(pooled=np.zeros((len(values), 0))), site, self.patches.get(site or ""))

    def _concluded(self, state: ConceptState, features: Features, site: str | None, patch: StatePatch | None) -> Output:
        output = self.head.predict(state, features)
        return output if patch is None else patch.apply_output(output, site, features)

    def with_bank(self, bank: ConceptBank) -> Pipeline:
        """Return the pipeline with what a bank knows by now of its concepts: who accepted them, codes, figures.

        Raises:
            OslerError: `bank-mismatch` where the model was fitted on another version, with what changed.
        """
        require_model_of(self.bank, bank)
        return replace(self, bank=bank.subset(self.bank.ids))

    def with_patch(self, patch: StatePatch) -> Pipeline:
        """Return the pipeline with a patch for its site; this one stays as it is."""
        return replace(self, patches={**self.patches, patch.site: patch})


def _sha256(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
