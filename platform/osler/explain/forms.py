"""The forms of an explanation as a file: JSON, a page to read or print, a DICOM structured report."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osler.explain.explanation import Explanation
    from osler.explain.service import StudyExplainer

SUFFIXES = {"json": ".json", "html": ".html", "sr": ".dcm"}


def writer(form: str, explainer: StudyExplainer) -> Callable[[Explanation], bytes]:
    """Return what makes a file of an explanation.

    Args:
        form: `json`, `html` or `sr`.
        explainer: Model and archive, for what a structured report says of the images.
    """
    if form == "json":
        return lambda one: (json.dumps(one.to_dict(), indent=1, allow_nan=False) + "\n").encode()
    if form == "html":
        from osler.explain.page import page

        return lambda one: page(one).encode()
    from osler.report.service import Reporter

    reporter = Reporter(explainer)
    return lambda one: bytes(reporter.of(one).data)
