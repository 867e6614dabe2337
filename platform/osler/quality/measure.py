"""What an archive with reports says of a bank: text figures, learnability, and stability between two sites (M20.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from osler.archive import Archive, StudyRecord
from osler.bottleneck.records import Array
from osler.explain.service import StudyExplainer
from osler.quality.learnability import Learnt, learn
from osler.quality.stability import split_half, stability
from osler_contracts.errors import OslerError
from osler_knowledge.annotate import annotate, annotate_findings
from osler_knowledge.bank import ConceptBank
from osler_knowledge.concept import Figure
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.quality import TextQuality, labels, text_quality

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Studies:
    """Studies of one site with a report and a frontal image.

    Attributes:
        site: Name of the site.
        x: Features of unit length (n, D).
        concepts: What the reports say of each concept (n, C) in {0, 1, NaN}.
        findings: What is known of each finding (n, K) in {0, 1, NaN}.
        patients: Pseudonyms (n,).
    """

    site: str
    x: Array
    concepts: Array
    findings: Array
    patients: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What was measured on images.

    Attributes:
        site: Where concepts were learnt.
        other: The site that directions were compared with; empty where there is none.
        studies: Number of studies of each of the sites.
        concepts: How well each concept is learnt.
        findings: How well each finding is learnt.
        harder: For each concept, the findings that it speaks for and that are easier to learn than it is.
        stable: Cosine of each concept's directions at the two sites, None where one could not be fitted.
        chance: The same between halves of the first site's patients: what chance alone does.
        prevalence: The common share of positives.
    """

    site: str
    other: str
    studies: Mapping[str, int]
    concepts: Mapping[str, Learnt]
    findings: Mapping[str, Learnt]
    harder: Mapping[str, tuple[str, ...]]
    stable: Mapping[str, float | None]
    chance: Mapping[str, float | None]
    prevalence: float

    def figures(self) -> dict[str, dict[str, Figure]]:
        """Return the figures that a bank keeps, by concept; sites are not named in a bank that may leave the house."""
        kept: dict[str, dict[str, Figure]] = {one: {} for one in self.concepts}
        for one, learnt in self.concepts.items():
            if not np.isnan(learnt.nap):
                low, high = (None if np.isnan(end) else end for end in (learnt.low, learnt.high))
                kept[one]["learnability"] = Figure(learnt.nap, low, high, learnt.n, "held-out studies of one site")
            cosine = self.stable.get(one)
            if cosine is not None:
                kept[one]["stability"] = Figure(cosine, None, None, sum(self.studies.values()), "studies of two sites")
        return kept


@dataclass(frozen=True)
class Quality:
    """All figures of a bank, and why some are missing."""

    text: TextQuality
    measured: Measured | None = None
    missing: tuple[str, ...] = field(default=())

    def figures(self) -> dict[str, dict[str, Figure]]:
        """Return the figures that the bank keeps, by concept."""
        kept = {one: dict(figures) for one, figures in (self.text.figures or {}).items()}
        for one, figures in (self.measured.figures() if self.measured else {}).items():
            kept.setdefault(one, {}).update(figures)
        return kept


def measure(
    archive: Archive,
    explainer: StudyExplainer | None,
    bank: ConceptBank,
    sites: Sequence[str] = (),
    *,
    lexicon: Lexicon | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Quality:
    """Measure a bank on the studies of a workspace that have a report.

    Args:
        archive: The archive.
        explainer: A model whose encoder gives the features; nothing of its bank is used. None reads the reports alone.
        bank: The bank; its retired concepts are left out.
        sites: One or two sites; by default those with most reports.
        lexicon: Words for the findings, where no table labels them.
        seed: Seed of splits and resampling.
        progress: Hears what is being done.

    What cannot be measured is left out, and `missing` says why.
    """
    used = bank.in_use()
    told = [study for study in archive.studies() if (study.report or "").strip()]
    counts = Counter(study.site for study in told)
    chosen = list(sites) or [site for site, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:2]]
    progress(f"reading {sum(counts[one] for one in chosen)} reports")
    reports = [study.report or "" for study in told if study.site in chosen]
    text = text_quality(used, annotate(reports, used) if reports else None, "reports of the workspace")
    if not reports:
        return Quality(text, None, ("No study of the archive has a report.",))
    if explainer is None:
        return Quality(text, None, ("The workspace has no model, and with it no encoder to see images with.",))
    held = [_studies(explainer, [one for one in told if one.site == site], used, lexicon, progress) for site in chosen]
    found = [one for one in held if one is not None]
    if not found:
        return Quality(text, None, ("No study with a report has a frontal image.",))
    missing = [] if len(found) > 1 else ["Reports come from one site alone: stability needs a second one."]
    progress("measuring learnability and stability")
    return Quality(text, compare(found[0], found[1] if len(found) > 1 else None, used, seed), tuple(missing))


def _studies(
    explainer: StudyExplainer,
    records: Sequence[StudyRecord],
    bank: ConceptBank,
    lexicon: Lexicon | None,
    progress: Progress,
) -> Studies | None:
    rows, kept = [], []
    for number, study in enumerate(records):
        if number % 100 == 0:
            progress(f"features of {study.site}: {number} of {len(records)}")
        try:
            rows.append(explainer.features(study).pooled[0])
            kept.append(study)
        except OslerError:
            continue  # no frontal image, or one that cannot be read: the study's own page says why
    if not rows:
        return None
    pooled = np.stack(rows).astype(np.float64)
    reports = [study.report or "" for study in kept]
    return Studies(
        kept[0].site,
        pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12),
        labels(annotate(reports, bank), bank.ids),
        _findings(kept, reports, bank, lexicon),
        tuple(study.patient for study in kept),
    )


def _findings(
    records: Sequence[StudyRecord], reports: Sequence[str], bank: ConceptBank, lexicon: Lexicon | None
) -> Array:
    """Return labels of the findings (n, K): from the table where a label names them, else from the reports."""
    named = [next((one for one in study.labels.values() if one in bank.findings), None) for study in records]
    if any(named):
        rows = [[np.nan if one is None else float(one == finding) for finding in bank.findings] for one in named]
        return np.array(rows)
    if lexicon is None:
        return np.full((len(records), len(bank.findings)), np.nan)
    return labels(annotate_findings(list(reports), lexicon), bank.findings)


def compare(first: Studies, second: Studies | None, bank: ConceptBank, seed: int) -> Measured:
    """Learn concepts and findings at one site, and compare their directions with those of a second one.

    Args:
        first: Where concepts are learnt.
        second: The other site, None where there is none.
        bank: The concepts in use, in the order of the columns.
        seed: Seed of splits and resampling.
    """
    prevalence = 1 / max(len(bank.findings), 2)

    def learnt(y: Array) -> Learnt:
        return learn(first.x, y, first.patients, prevalence=prevalence, seed=seed)

    findings = {name: learnt(first.findings[:, place]) for place, name in enumerate(bank.findings)}
    concepts = {one: learnt(first.concepts[:, place]) for place, one in enumerate(bank.ids)}
    harder = {
        one.id: tuple(
            finding
            for finding, evidence in one.prior.items()
            if evidence.value == 1 and findings[finding].nap > concepts[one.id].nap
        )
        for one in bank.concepts
    }
    group = np.asarray(first.patients)
    chance = {one: split_half(first.x, first.concepts[:, c], group, seed=seed) for c, one in enumerate(bank.ids)}
    stable: dict[str, float | None] = dict.fromkeys(bank.ids)
    if second is not None:
        x = np.concatenate([first.x, second.x])
        y = np.concatenate([first.concepts, second.concepts])
        site = np.r_[np.zeros(len(first.x), bool), np.ones(len(second.x), bool)]
        stable = {one: stability(x, y[:, c], site) for c, one in enumerate(bank.ids)}
    studies = {one.site: len(one.x) for one in (first, second) if one is not None}
    other = second.site if second else ""
    return Measured(first.site, other, studies, concepts, findings, harder, stable, chance, prevalence)
