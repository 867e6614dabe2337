"""A report's content, kept as it was made: what is sent after a crash is what was being sent before it.

An explanation depends on what else the archive holds, so making it again may say something else, and that would be a
second report. Frozen with its study, it keeps its digest, and with it its UIDs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from osler.report.content import ConceptLine, FindingLine, ReportContent, Signature
from osler.report.service import Reporter

_TUPLES = ("patch_effect", "corrections", "warnings")


def to_json(content: ReportContent) -> str:
    """Return a content as JSON."""
    return json.dumps(asdict(content), sort_keys=True)


def from_json(text: str) -> ReportContent:
    """Return a content that was kept; its digest is the same."""
    values = json.loads(text)
    values["finding"], values["runner_up"] = FindingLine(**values["finding"]), FindingLine(**values["runner_up"])
    values["concepts"] = tuple(ConceptLine(**one) for one in values["concepts"])
    values |= {name: tuple(values[name]) for name in _TUPLES}
    if values["signature"] is not None:
        values["signature"] = Signature(**values["signature"])
    return ReportContent(**values)


@dataclass(frozen=True)
class FrozenReporter(Reporter):
    """A reporter that says what was frozen.

    Attributes:
        contents: Content by pseudonymous study UID.
    """

    contents: Mapping[str, ReportContent] = field(default_factory=dict)

    def content(self, study_uid: str) -> ReportContent:
        """Return the frozen content of a study."""
        return self.contents[study_uid]
