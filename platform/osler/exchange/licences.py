"""Under which terms the parts of a model stand: its own, its encoder's weights, and the passages that its bank quotes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from osler.bottleneck.encoders.catalogue import MEASURING, SHIPPED, shipped_folders, shipped_names
from osler.bottleneck.encoders.checkpoint import EncoderFolder, invalid, mismatch
from osler.exchange.manifest import Licence
from osler.seals import opened, written
from osler_knowledge.bank import Citation, ConceptBank

# The cards of the shipped encoders say the same at length.
OWN = "Apache-2.0"
FILE, FORMAT = "licences.json", "osler-licences/1"


@dataclass(frozen=True)
class Terms:
    """What whoever exports states of licences; empty where they do not know. It stays with the model wherever it goes.

    Attributes:
        model: Of the model itself.
        weights: Of the weights of an encoder that is not shipped.
    """

    model: str = ""
    weights: str = ""

    def over(self, before: Terms) -> Terms:
        """Return these terms, with those of before where these say nothing."""
        return Terms(self.model or before.model, self.weights or before.weights)

    def to_bytes(self) -> bytes:
        """Return the file of a model's folder."""
        return written({"format": FORMAT, "model": self.model, "weights": self.weights})


def read_terms(folder: Path) -> Terms:
    """Return what was stated of a model; empty where nothing was.

    Raises:
        OslerError: `model-hash-mismatch` where the file was changed.
    """
    if not (folder / FILE).exists():
        return Terms()
    try:
        record = opened((folder / FILE).read_bytes(), FORMAT)
        return Terms(str(record["model"]), str(record["weights"]))
    except (ValueError, KeyError, OSError) as error:
        raise mismatch(f"{FILE} of model {folder.name!r}") from error


def licences_of(bank: ConceptBank, encoder: Path, terms: Terms) -> tuple[Licence, ...]:
    """Return the terms of every part, in a fixed order.

    Args:
        bank: The model's bank.
        encoder: Folder of the encoder.
        terms: What is stated of model and weights.
    """
    return (Licence("model", terms.model), *_encoder(encoder, terms.weights), *_passages(bank))


def _encoder(folder: Path, weights: str) -> Iterator[Licence]:
    if folder in shipped_folders():
        yield Licence(_shipped(folder.name), OWN)
        return
    yield Licence(f"encoder {folder.name}: weights", weights)
    parts = EncoderFolder(folder).config["model_cfg"].get("parts", [])
    for part in parts:
        name = str(part["name"])
        if name in shipped_names():
            yield Licence(_shipped(name), OWN)
        else:
            yield Licence(f"encoder {name}: weights", weights)


def _shipped(name: str) -> str:
    if name not in (*SHIPPED, *MEASURING):
        raise invalid(f"Osler ships no encoder {name!r}.")
    return f"encoder {name}: rules, no weights" if name in MEASURING else f"encoder {name}: weights"


def _passages(bank: ConceptBank) -> Iterator[Licence]:
    """Yield the terms of what the bank quotes, with the number of distinct passages under each."""
    quoted = {(one.entry, one.start, one.end, one.licence) for one in _citations(bank)}
    for terms, count in sorted(Counter(licence for *_, licence in quoted).items()):
        yield Licence("passages quoted by the bank", terms, count)


def _citations(bank: ConceptBank) -> Iterator[Citation]:
    for concept in bank.concepts:
        if concept.citation is not None:
            yield concept.citation
        yield from (evidence.citation for evidence in concept.prior.values() if evidence.citation is not None)


def as_text(licences: Sequence[Licence]) -> str:
    """Return the terms for a person, in Markdown."""
    lines = ["# Licences", "", "As the makers of the parts state them; Osler checked none of it.", ""]
    for one in licences:
        count = f" ({one.count})" if one.count else ""
        lines.append(f"- {one.part}{count}: {one.terms or 'not stated'}")
    return "\n".join(lines) + "\n"
