"""What stands around one study when it is explained: its archive, its site, and what was checked of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from osler.explain.explanation import ExplanationWarning, Measured
from osler.explain.profiles import Profiles
from osler.explain.typicality import Typical
from osler.explain.validation import Validation


@dataclass(frozen=True, eq=False)
class Context:
    """What an explanation says beside contributions; the default knows nothing, and every such field then stays empty.

    Attributes:
        validation: What was checked of the model's concepts; None where nothing was.
        grounding: AUROC of concepts at the study's site.
        concepts: What concept values are usual at the source.
        features: What image features are usual there.
        archived: Profiles of archived studies, by site.
        others: Number of archived studies of other patients, read or not.
        patient: The study's patient, None where it is not archived.
        reviews: Where each study stands that readers have looked at, as `osler.feedback` says it.
        warnings: What else is to be known.
        searching: Whether to look for what would change the model, and for similar studies.
    """

    validation: Validation | None = None
    grounding: Mapping[str, Measured] = field(default_factory=dict)
    concepts: Typical | None = None
    features: Typical | None = None
    archived: tuple[Profiles, ...] = ()
    others: int = 0
    patient: str | None = None
    reviews: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[ExplanationWarning, ...] = ()
    searching: bool = True

    def quick(self) -> Context:
        """Return the same without the searches, for a correction that must answer at once."""
        return replace(self, searching=False)
