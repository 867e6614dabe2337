"""Radiology reports in prose, true to what a phantom shows: stated, hedged, negated or left out, in the style of a site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from osler_training.phantom.parameters import PARAMETERS
from osler_training.phantom.spec import Finding, StudySpec


@dataclass(frozen=True)
class Style:
    """How a site reports.

    Attributes:
        sections: Sections in their order.
        stated: Chance that a sign that is there is stated.
        negated: Chance that a group of absent signs is denied.
        lines: Whether each statement has a line of its own.
        british: Whether spelling is British.
    """

    sections: tuple[str, ...]
    stated: float = 0.9
    negated: float = 0.35
    lines: bool = False
    british: bool = False


STYLES = {
    "plain": Style(("FINDINGS", "IMPRESSION")),
    "structured": Style(("TECHNIQUE", "FINDINGS", "IMPRESSION"), lines=True, negated=0.4),
    "terse": Style(("FINDINGS", "IMPRESSION"), stated=0.85, negated=0.2, british=True),
    "verbose": Style(("INDICATION", "TECHNIQUE", "COMPARISON", "FINDINGS", "IMPRESSION"), stated=0.95, negated=0.5),
}

# The kind of finding whose side, zone and severity a statement speaks of; the first that the study has.
BEHIND = {
    "enlarged_cardiac_silhouette": ("cardiomegaly",),
    "narrow_cardiac_silhouette": ("hyperinflation",),
    "cephalized_vessels": ("oedema",),
    "perihilar_haze": ("oedema",),
    "kerley_b_lines": ("oedema",),
    "peribronchial_cuffing": ("oedema",),
    "blunted_costophrenic_angle": ("effusion",),
    "meniscus_sign": ("effusion",),
    "basal_opacity": ("effusion", "consolidation"),
    "airspace_opacity": ("consolidation", "oedema"),
    "air_bronchograms": ("consolidation",),
    "silhouette_sign": ("consolidation",),
    "focal_opacity": ("consolidation",),
    "lobar_distribution": ("consolidation",),
    "bilateral_opacities": ("oedema", "consolidation"),
    "visceral_pleural_line": ("pneumothorax",),
    "absent_peripheral_lung_markings": ("pneumothorax",),
    "rounded_opacity": ("nodule",),
    "elevated_hemidiaphragm": ("atelectasis",),
    "volume_loss": ("atelectasis",),
    "linear_opacity": ("atelectasis",),
    "flattened_diaphragm": ("hyperinflation",),
    "hyperlucent_lungs": ("hyperinflation",),
}
# The kinds that the impression of a diagnosis rests on, in the order of their weight.
DIAGNOSED_BY = {
    "heart_failure": ("oedema", "cardiomegaly", "effusion"),
    "pneumonia": ("consolidation", "effusion"),
    "pleural_effusion": ("effusion",),
    "pneumothorax": ("pneumothorax",),
    "lung_nodule": ("nodule",),
    "atelectasis": ("atelectasis",),
    "hyperinflation": ("hyperinflation",),
}
# Frames with one of these words take a noun without its article.
BARE = ("Possible", "Questionable", "Mild")


@cache
def _phrases() -> dict[str, Any]:
    text = (files("osler_training.phantom") / "phrases.yaml").read_text(encoding="utf-8")
    phrases: dict[str, Any] = yaml.safe_load(text)
    return phrases


def write_report(spec: StudySpec, concepts: Mapping[str, int], style: str, rng: np.random.Generator) -> str:
    """Write the report of a study.

    Args:
        spec: The study.
        concepts: Truth of every concept: what is 0 is never stated, what is 1 is never denied.
        style: One of `STYLES`.
        rng: Source of the wording.
    """
    chosen = STYLES[style]
    phrases = _phrases()
    text = {
        "INDICATION": _pick(phrases["indications"], rng),
        "TECHNIQUE": _pick(phrases["technique"][spec.view], rng),
        "COMPARISON": _pick(phrases["comparisons"], rng),
        "FINDINGS": ("\n" if chosen.lines else " ").join(_findings(spec, concepts, chosen, rng)),
        "IMPRESSION": _impression(spec, rng),
    }
    joint = "\n" if chosen.lines else " "
    report = "\n".join(f"{section}:{joint}{text[section]}" for section in chosen.sections)
    if chosen.british:
        for american, british in phrases["spelling_uk"].items():
            report = report.replace(american, british).replace(american.capitalize(), british.capitalize())
    return report


def _findings(spec: StudySpec, concepts: Mapping[str, int], style: Style, rng: np.random.Generator) -> list[str]:
    phrases = _phrases()
    present = [name for name in phrases["statements"] if concepts[name] and rng.random() < style.stated]
    stated = [_statement(spec, name, rng) for name in present]
    denied: dict[str, str] = {}
    for group in phrases["negated"]:
        names = group["concepts"]
        free = not any(concepts[name] or name in denied for name in names)
        if free and rng.random() < style.negated:
            denied |= dict.fromkeys(names, _pick(group["sentences"], rng))
    order = rng.permutation(len(stated))
    return [stated[i] for i in order] + list(dict.fromkeys(denied.values())) or ["No abnormality is seen."]


def _statement(spec: StudySpec, concept: str, rng: np.random.Generator) -> str:
    """Return a sentence that states a concept, hedged where the finding behind it is slight."""
    phrases = _phrases()
    entry, finding = phrases["statements"][concept], _behind(spec, BEHIND.get(concept, ()))
    hedged = finding is not None and finding.severity < PARAMETERS.hedged
    nouns, sentences = entry.get("nouns", []), entry.get("sentences", [])
    if hedged or not sentences or rng.random() < len(nouns) / (len(nouns) + len(sentences)):
        frames = "hedged" if hedged else "plural" if entry.get("plural") else "certain"
        return _framed(phrases["frames"][frames], nouns, finding, rng)
    return _placed(_pick(sentences, rng), finding)


def _impression(spec: StudySpec, rng: np.random.Generator) -> str:
    phrases = _phrases()
    if spec.diagnosis == "normal":
        return _pick(phrases["impression"]["normal"], rng)
    finding = _behind(spec, DIAGNOSED_BY[spec.diagnosis])
    hedged = finding is None or finding.severity < PARAMETERS.hedged
    frames = phrases["impression_frames"]["hedged" if hedged else "certain"]
    return _framed(frames, phrases["impression"][spec.diagnosis], finding, rng)


def _behind(spec: StudySpec, kinds: Sequence[str]) -> Finding | None:
    """Return the most severe finding of the first kind that the study has."""
    found = (max(spec.of(kind), key=lambda one: one.severity) for kind in kinds if spec.of(kind))
    return next(found, None)


def _framed(frames: Sequence[str], nouns: Sequence[str], finding: Finding | None, rng: np.random.Generator) -> str:
    noun = _placed(_pick(nouns, rng), finding)
    frame = _pick(frames, rng)
    if any(word in frame for word in BARE):
        noun = noun.removeprefix("a ").removeprefix("an ")
    return frame.replace("{np}", noun).replace("{Np}", noun[0].upper() + noun[1:])


def _placed(phrase: str, finding: Finding | None) -> str:
    """Fill in side and zone, or take the place-holders out where there are none."""
    side, zone = (finding.side, finding.zone) if finding else ("", "")
    if side == "both":
        for one, two in _phrases()["both_sides"].items():
            phrase = phrase.replace(one, two)
        side = "bilateral"
    for name, word in (("{side}", side), ("{zone}", zone)):
        phrase = phrase.replace(name, word) if word else phrase.replace(f"{name} ", "").replace(f" {name}", "")
    return phrase


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
