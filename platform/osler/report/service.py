"""Reports of archived studies: what `osler report`, `osler explain --format sr` and the dashboard share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
from pydicom.dataset import Dataset

from osler.archive.records import InstanceRecord, StudyRecord
from osler.deid.basic_profile import to_bytes
from osler.dicom.pixels import read_image
from osler.explain.explanation import Explanation
from osler.explain.service import StudyExplainer, model_names
from osler.report.content import ReportContent, Signed, content_of
from osler.report.identity import Identity, pseudonymous
from osler.report.journal import STORED, Issue, IssueJournal
from osler.report.making import Making, Predecessor
from osler.report.settings import ReportSettings, device_uid, load_settings
from osler.report.signing import signed_review
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMATS = ("sr", "fhir", "gsps", "sc")
FILES = "files"  # the chain of what was made as pseudonymous files
NOT_SIGNED = "A reader's corrections are applied that nobody has signed."


@dataclass(frozen=True)
class ObjectName:
    """The UIDs by which a receiver is asked for an object."""

    study: str
    series: str
    instance: str


@dataclass(frozen=True)
class Report:
    """One object of a report.

    Attributes:
        name: Name for its file.
        format: `sr`, `fhir`, `gsps` or `sc`.
        sop_class: SOP Class UID; empty for FHIR.
        sop_uid: SOP Instance UID.
        uids: Its UIDs, those of study and series as the copy has them.
        data: The file.
        content: What it says.
        predecessor: SOP Instance UID of the SR that it replaces, None for the first.
    """

    name: str
    format: str
    sop_class: str
    sop_uid: str
    uids: ObjectName
    data: bytes = field(repr=False)
    content: ReportContent = field(repr=False)
    predecessor: str | None = None


@dataclass(frozen=True)
class Reporter:
    """Makes reports with one model over the archive of a workspace.

    Attributes:
        explainer: The model over the archive.
    """

    explainer: StudyExplainer

    @cached_property
    def settings(self) -> ReportSettings:
        """The site's settings; OslerError `usage` where they cannot be used."""
        return load_settings(self.explainer.workspace)

    @cached_property
    def device(self) -> str:
        """UID of this installation."""
        return device_uid(self.explainer.workspace, self.settings)

    @cached_property
    def journal(self) -> IssueJournal:
        """What was issued so far."""
        return IssueJournal(self.explainer.workspace)

    def make(self, study_uid: str, format: str = "sr", *, identity: Identity | None = None, to: str = FILES) -> Report:
        """Make a report of a study as it stands: with the corrections that a reader has signed, and note it.

        A report that says something else than the last one names it as the one that it replaces; an equal one is the
        same object again.

        Args:
            study_uid: Pseudonymous UID.
            format: One of FORMATS.
            identity: Under which identity; the archive's where it is left out.
            to: The chain of reports that it belongs to.

        Raises:
            OslerError: `unknown-study`, `nothing-eligible` for a study without an image that the model reads, `usage`.
        """
        content = self.content(study_uid)
        issue = self.issue(content, to)
        report = self.build(content, format, identity or self._archived(study_uid), issue)
        if issue.state != STORED:
            self.journal.note(issue, STORED)
        return report

    def of(self, explanation: Explanation, format: str = "sr") -> Report:
        """Make a pseudonymous report of an explanation, which nobody signed and nothing is noted of."""
        study = self.explainer.archive.study(explanation.study)
        content = self._content(explanation, study, None, (NOT_SIGNED,) if explanation.corrections else ())
        return self.build(content, format, pseudonymous(study), self._new(content, FILES), chained=False)

    def content(self, study_uid: str) -> ReportContent:
        """Return what the report on a study says now."""
        study = self.explainer.archive.study(study_uid)
        self.image(study)
        signed = self._signed(study)
        notes: tuple[str, ...] = ()
        if signed is not None and not signed.holds:
            # What its reader set is left out with it: another model may know other concepts.
            notes = (signed.why_not,)
            signed = None
        explanation = self.explainer.explain(study, corrections=signed.corrections if signed else None)
        return self._content(explanation, study, signed, notes)

    def build(
        self, content: ReportContent, format: str, identity: Identity, issue: Issue, *, chained: bool = True
    ) -> Report:
        """Build one object of a report; nothing is noted.

        Args:
            content: What it says.
            format: One of FORMATS.
            identity: Under which identity.
            issue: Its place in its chain.
            chained: Whether it replaces what came before it.
        """
        if format not in FORMATS:
            raise OslerError(Code.USAGE, "A report has no such format.", f"Formats are {', '.join(FORMATS)}.")
        study = self.explainer.archive.study(content.study)
        before, number = self._before(issue, identity) if chained else (None, 1)
        making = Making(identity, self.device, issue.moment, content.digest, number, before)
        told = content if identity.original else content.without_reader()
        instance = self.image(study)
        data, made = _encoded(format, told, instance, making, self.explainer)
        return Report(
            name=f"{format}-{making.sop_uid(_KINDS[format])}.{'json' if format == 'fhir' else 'dcm'}",
            format=format,
            sop_class="" if made is None else str(made.SOPClassUID),
            sop_uid=making.sop_uid(_KINDS[format]),
            uids=ObjectName(identity.study, making.series_uid(_KINDS[format]), making.sop_uid(_KINDS[format])),
            data=data,
            content=content,
            predecessor=None if before is None else before.sop_uid,
        )

    def issue(self, content: ReportContent, to: str) -> Issue:
        """Return the place of a report in a chain: the last one again where it says the same, else a new one."""
        chain = self.journal.chain(content.study, to)
        if chain and chain[-1].digest == content.digest:
            return chain[-1]
        return self._new(content, to)

    def trace(self, issue: Issue, identity: Identity) -> ObjectName:
        """Return the UIDs of an SR that was issued, for which its content is not needed."""
        before, number = self._before(issue, identity)
        making = Making(identity, self.device, issue.moment, issue.digest, number, before)
        return ObjectName(identity.study, making.series_uid("SR"), making.sop_uid("SR"))

    def image(self, study: StudyRecord) -> InstanceRecord:
        """Return the image that the model sees.

        Raises:
            OslerError: `nothing-eligible`.
        """
        image = self.explainer.archive.image(study)
        if image is None:
            raise OslerError(
                Code.NOTHING_ELIGIBLE,
                "The study has no image that the model reads, so there is nothing to report.",
                "See `osler archive list`: it says which studies have no frontal image.",
            )
        return image

    def _archived(self, study_uid: str) -> Identity:
        return pseudonymous(self.explainer.archive.study(study_uid))

    def _signed(self, study: StudyRecord) -> Signed | None:
        patch = self.explainer.active_patch(study.site)
        return signed_review(
            self.explainer.workspace,
            study,
            self.explainer.pipeline.digest,
            None if patch is None else patch.id,
            self.settings.organization,
        )

    def _content(
        self, explanation: Explanation, study: StudyRecord, signed: Signed | None, notes: Sequence[str] = ()
    ) -> ReportContent:
        return content_of(
            explanation,
            self.explainer.pipeline.bank,
            image=self.image(study).uid,
            model_name=self.explainer.model,
            most=self.settings.concepts,
            institution=self.settings.institution or "",
            signed=signed,
            notes=tuple(notes),
        )

    def _new(self, content: ReportContent, to: str) -> Issue:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        return Issue(content.study, to, content.digest, now, content.signature is not None)

    def _before(self, issue: Issue, identity: Identity) -> tuple[Predecessor | None, int]:
        """Return what an issue replaces, and its number: UIDs follow from the digests of the chain up to it."""
        before: Predecessor | None = None
        number = 1
        for earlier in self.journal.chain(issue.study, issue.to):
            if (earlier.digest, earlier.made) == (issue.digest, issue.made):
                break
            making = Making(identity, self.device, earlier.moment, earlier.digest, number, before)
            before = Predecessor(making.sop_uid("SR"), making.series_uid("SR"))
            number += 1
        return before, number


_KINDS = {"sr": "SR", "fhir": "FHIR", "gsps": "PR", "sc": "SC"}


def chosen_model(workspace: Workspace, named: str | None) -> str:
    """Return the model to report with: the one named, the one of the settings, or the only one.

    Raises:
        OslerError: `usage` where there are several and none is named; `model-invalid` where there is none.
    """
    if named or (named := load_settings(workspace).model):
        return named
    names = model_names(workspace)
    if len(names) == 1:
        return names[0]
    if not names:
        raise OslerError(Code.MODEL_INVALID, "The workspace has no model.", "Make one with `osler train`.")
    raise OslerError(
        Code.USAGE,
        f"The workspace has several models: {', '.join(names)}.",
        "Name one with --model, or as `model:` in report.yaml.",
    )


def _encoded(
    format: str, content: ReportContent, instance: InstanceRecord, making: Making, explainer: StudyExplainer
) -> tuple[bytes, Dataset | None]:
    """Return the file, and the data set where it is one."""
    image = making.identity.header(instance)
    if format == "fhir":
        from osler.report.fhir import build_fhir, to_json

        return to_json(build_fhir(content, image, making)), None
    made: Dataset
    if format == "sr":
        from osler.report.sr import build_sr

        made = build_sr(content, image, making)
    elif format == "gsps":
        from osler.report.outlines import outlines_of
        from osler.report.presentation import build_presentation

        made = build_presentation(content, image, making, outlines_of(content, explainer, instance))
    else:
        from osler.report.capture import build_capture

        values = read_image(instance.path).values
        made = build_capture(content, image, making, np.asarray(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return to_bytes(made), made
