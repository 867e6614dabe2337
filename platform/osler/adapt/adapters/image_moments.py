"""`image_moments`: the site's images brought to the source's colour or grey, before the encoder sees them; no labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osler.adapt.adapters.site_correction import corrected
from osler.adapt.patch import SitePatch
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Support


@dataclass(frozen=True)
class ImageMomentsAdapter:
    """Mean and deviation of each channel, measured on every image of the site.

    Attributes:
        guarded: As in `site_correction`; encodes half of the images twice.
    """

    guarded: bool = False

    name: ClassVar[str] = "image_moments"
    needs_labels: ClassVar[bool] = False

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch on every image of the support; see `Adapter.fit`.

        Raises:
            OslerError: `part-missing` where the model holds no such reference, or the support no images.
        """
        return corrected(self, pipeline, support, "image_moments", guarded=self.guarded, created=created)


ADAPTER = ImageMomentsAdapter
