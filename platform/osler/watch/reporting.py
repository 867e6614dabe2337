"""Explaining, sending and asking back, each so that doing it twice is doing it once."""

from __future__ import annotations

from dataclasses import dataclass, field

from osler.deid.crosswalk import Crosswalk
from osler.explain.service import StudyExplainer
from osler.report.identity import Identity
from osler.report.receivers import Receiver
from osler.report.sending import Sent, send_reports
from osler.report.service import Reporter, chosen_model
from osler.watch.frozen import FrozenReporter, from_json, to_json
from osler.workspace import Workspace


@dataclass(frozen=True)
class Reporting:
    """The models of the sites, and where their reports go.

    Attributes:
        workspace: The workspace.
        receiver: The PACS.
        crosswalk: Knows whose name a report carries.
        actor: Who sends.
        reason: Why.
    """

    workspace: Workspace
    receiver: Receiver
    crosswalk: Crosswalk
    actor: str
    reason: str
    _reporters: dict[str, Reporter] = field(default_factory=dict, repr=False)

    def reporter(self, model: str | None) -> Reporter:
        """Return the reporter of a model, or of the workspace's own choice; it is loaded once.

        Raises:
            OslerError: `model-invalid`, `usage`.
        """
        name = chosen_model(self.workspace, model)
        if name not in self._reporters:
            self._reporters[name] = Reporter(StudyExplainer(self.workspace, name))
        return self._reporters[name]

    def freeze(self, uid: str, model: str | None) -> str:
        """Return what a report on a study says now, to be kept.

        Raises:
            OslerError: `nothing-eligible` for a study without an image that the model reads; as `Reporter.content`.
        """
        return to_json(self.reporter(model).content(uid))

    def readable(self, content: str) -> bool:
        """Return whether this version of Osler can send what was kept."""
        try:
            from_json(content)
        except (ValueError, TypeError, KeyError):
            return False
        return True

    def send(self, uid: str, content: str, model: str | None) -> list[Sent]:
        """Send a report that was kept; what is there already is not sent.

        Raises:
            OslerError: As `send_reports`.
        """
        told = {uid: from_json(content)}
        reporter = FrozenReporter(self.reporter(model).explainer, told)
        return send_reports(reporter, [uid], self.receiver, self.crosswalk, actor=self.actor, reason=self.reason)

    def arrived(self, uid: str, study: str, model: str | None) -> bool:
        """Return whether the PACS lists the report that was sent last.

        Args:
            uid: Pseudonymous UID.
            study: The study's own UID.
            model: The site's model.
        """
        reporter = self.reporter(model)
        chain = reporter.journal.chain(uid, self.receiver.name)
        return bool(chain) and self.receiver.has(reporter.trace(chain[-1], Identity(True, study)))
