"""Explaining every study of a site into a folder: taken up again where it was left, never stopped by one bad study."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from osler.archive import StudyRecord
from osler.bottleneck.artefact import find_encoder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.encoding import PRELOAD
from osler.engine import UNLIMITED, EngineChoice
from osler.explain.explanation import SCHEMA, Explanation
from osler.explain.forms import SUFFIXES, writer
from osler.explain.service import StudyExplainer
from osler.explain.site_measures import SiteMeasures
from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

DONE = "explained.jsonl"

# Studies that a worker is sent ahead: each takes a fraction of a second.
AHEAD = 4
IN_THIS_PROCESS = EngineChoice(workers=0)

Line = dict[str, Any]
Progress = Callable[[str], None]


@dataclass
class Batch:
    """What became of the studies of a site.

    Attributes:
        site: The site.
        written: Studies explained now.
        kept: Studies that an earlier run had explained under the same model, patch and calibration.
        refused: Code by study that could not be explained.
        findings: How many studies got each finding.
        abstained: How many have no single finding by the site's calibration.
        warnings: How many studies bear each warning.
    """

    site: str
    written: int = 0
    kept: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    findings: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    warnings: Counter[str] = field(default_factory=Counter)

    def count(self, line: dict[str, Any]) -> None:
        """Count one explained study, by its line in the list of those done."""
        self.findings[line["finding"]] += 1
        self.abstained += bool(line["abstains"])
        self.warnings.update(line["warnings"])

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        counts = {"written": self.written, "kept": self.kept, "refused": len(self.refused)}
        codes = Counter(self.refused.values())
        return {
            "site": self.site,
            "studies": counts,
            "findings": dict(sorted(self.findings.items())),
            "abstained": self.abstained,
            "warnings": dict(sorted(self.warnings.items())),
            "refused": {"by_code": dict(sorted(codes.items())), "studies": dict(sorted(self.refused.items()))},
        }


def explain_site(
    explainer: StudyExplainer,
    site: str,
    out: Path,
    form: str,
    *,
    patched: bool = True,
    engine: EngineChoice = IN_THIS_PROCESS,
    progress: Progress = lambda _: None,
) -> Batch:
    """Explain every study of a site, each into a file named by its pseudonymous UID.

    Args:
        explainer: Model and archive.
        site: The site.
        out: The folder.
        form: `json`, `html` or `sr`, see `osler.explain.forms`.
        patched: Apply the patch in force.
        engine: Where images are encoded and studies explained; workers on other machines see workspace and folder under
            the same paths.
        progress: Hears how far it is.

    Raises:
        OslerError: `nothing-eligible` where the site has no study; `unreadable`, `disk-full` where the folder cannot be
            written; as `EngineChoice.open`.
    """
    studies = explainer.archive.studies(site)
    if not studies:
        raise OslerError(
            Code.NOTHING_ELIGIBLE, f"The archive has no study of {site!r}.", "See `osler archive list` for its sites."
        )
    out.mkdir(parents=True, exist_ok=True)
    with engine.open(UNLIMITED, PRELOAD, ahead=AHEAD, folders=[explainer.workspace.root, out]) as pool:
        progress(f"reading {len(studies)} studies of {site}")
        if not engine.here:
            measures_of(explainer).encode(site, pool, progress)
        explainer.surroundings.gather(site)
        state = _state(explainer, site, patched, SUFFIXES[form])
        keys = {study.uid: _key(study, state) for study in studies}
        done, batch, waiting = _done(out / DONE), Batch(site), []
        for study in studies:
            name = f"{study.uid}{SUFFIXES[form]}"
            line = done.get(name)
            if line is not None and line["key"] == keys[study.uid] and (out / name).is_file():
                batch.kept += 1
                batch.count(line)
            else:
                waiting.append(study.uid)
        answers = pool.map(Explaining(explainer, out.resolve(), form, patched), waiting, _lost)
        for number, (uid, answer) in enumerate(zip(waiting, answers, strict=True)):
            if number % 50 == 0:
                progress(f"explained {number} of {len(waiting)}")
            _settle(uid, answer, keys[uid], out, batch)
    return batch


def measures_of(explainer: StudyExplainer) -> SiteMeasures:
    """Return what encodes the images of a site for a model."""
    digest = explainer.pipeline.encoder_digest
    encoder = LazyEncoder(find_encoder(digest, explainer.workspace.models / explainer.model), digest)
    return SiteMeasures(explainer.archive, explainer.pipeline, encoder, explainer.workspace.cache)


def _settle(uid: str, answer: Line | Code, key: str, out: Path, batch: Batch) -> None:
    """Note what became of a study; the list of those done is written here alone."""
    if isinstance(answer, Code):
        batch.refused[uid] = str(answer)
        return
    line = {**answer, "key": key}
    with (out / DONE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, sort_keys=True) + "\n")
    batch.written += 1
    batch.count(line)


def _lost(_uid: str, _error: OslerError) -> Code:
    return Code.INTERNAL


@dataclass(frozen=True)
class Explaining:
    """What a worker does with a study: explain it and write its file.

    Attributes:
        explainer: Model and archive; another process opens its own, once.
        out: The folder.
        form: Form of the files.
        patched: Apply the patch in force.
    """

    explainer: StudyExplainer
    out: Path
    form: str
    patched: bool

    def __reduce__(self) -> tuple[Any, ...]:
        held = self.explainer
        return _reopened, (held.workspace.root, held.model, held.bank, self.out, self.form, self.patched)

    @cached_property
    def _write(self) -> Callable[[Explanation], bytes]:
        return writer(self.form, self.explainer)

    def __call__(self, uid: str) -> Line | Code:
        """Explain a study; returns what the list of those done says of it, or why it could not be."""
        try:
            explanation = self.explainer.explain(uid, patched=self.patched)
            content = self._write(explanation)
        except OslerError as error:
            return error.code
        except OSError:
            return Code.FILE_MISSING
        except (ValueError, RuntimeError, ArithmeticError):
            return Code.INTERNAL
        path = self.out / f"{uid}{SUFFIXES[self.form]}"
        write_atomically(path, content)
        return {
            "file": path.name,
            "finding": explanation.finding.id,
            "abstains": explanation.abstains,
            "warnings": sorted({warning.code for warning in explanation.warnings}),
        }


_held: dict[tuple[object, ...], Explaining] = {}


def _reopened(root: Path, model: str, bank: ConceptBank | None, out: Path, form: str, patched: bool) -> Explaining:
    """Return the model that this worker process has loaded already, where it is the same."""
    name = (root, model, bank and bank.digest, out, form, patched)
    if name not in _held:
        _held.clear()  # one model at a time
        _held[name] = Explaining(StudyExplainer(Workspace.open(root), model, bank), out, form, patched)
    return _held[name]


def _state(explainer: StudyExplainer, site: str, patched: bool, suffix: str) -> str:
    """Name what all explanations of a site depend on: another model, patch or calibration makes them anew."""
    patch = explainer.active_patch(site) if patched else None
    calibration, reasons = explainer.calibration_at(site, patch)
    parts = [SCHEMA, explainer.pipeline.digest, patch and patch.id, calibration and calibration.id, reasons, suffix]
    return json.dumps(parts)


def _key(study: StudyRecord, state: str) -> str:
    images = sorted(one.sha256 for one in study.instances)
    text = json.dumps([state, study.uid, images, dict(study.labels), study.report, study.warnings])
    return hashlib.sha256(text.encode()).hexdigest()


def _done(path: Path) -> dict[str, dict[str, Any]]:
    """Return what earlier runs wrote, by name of file; a line that a crash cut off is passed over."""
    found = {}
    content = path.read_bytes() if path.is_file() else b""
    if content and not content.endswith(b"\n"):
        path.write_bytes(content + b"\n")  # or the next line would be lost with it
    for text in content.split(b"\n"):
        try:
            line = json.loads(text)
            found[line["file"]] = {name: line[name] for name in ("key", "finding", "abstains", "warnings")}
        except (ValueError, KeyError, TypeError):
            continue
    return found
