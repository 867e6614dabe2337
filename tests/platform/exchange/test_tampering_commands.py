"""One changed byte at any place of what an installation trusts: the commands that a person would type refuse it by name."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.platform.patches import shifted

from osler import audit
from osler.adapt.store import PatchStore
from osler.bottleneck.artefact import load_bottleneck, read_record
from osler.calibrate.record import SiteCalibration
from osler.cli.main import main
from osler.explain.measuring import share
from osler.explain.validation import ConceptCheck, Validation
from osler.workspace import Workspace

from .spoiling import flipped

# What is changed; the codes it may be refused with; and what the refusal of `osler model verify` names.
TABLE = {
    "models/chest/bottleneck.safetensors": ({"model-hash-mismatch"}, "bottleneck.safetensors"),
    "models/chest/bottleneck.json": ({"model-hash-mismatch", "model-invalid"}, "bottleneck.json"),
    "models/chest/bank.json": ({"model-hash-mismatch", "model-invalid"}, "bank.json"),
    "models/chest/card.md": ({"model-hash-mismatch"}, "card.md"),
    "models/chest/validation.json": ({"model-hash-mismatch", "model-invalid"}, "validation.json"),
    "models/chest/encoder/model.safetensors": ({"model-hash-mismatch", "model-invalid"}, "model.safetensors"),
    # A list of hashes and the files that it lists prove each other: what is named is the encoder.
    "models/chest/encoder/hashes.json": ({"model-hash-mismatch", "model-invalid"}, "encoder"),
    "patches/*.json": ({"patch-invalid"}, ".json"),
    "calibrations/*.json": ({"calibration-invalid"}, ".json"),
    "knowledge/*.json": ({"bank-invalid"}, ".json"),
    "feedback/audit.jsonl": ({"audit-broken"}, "Entry "),
}
# What a person would type for one of them alone.
COMMANDS = {
    "patches/*.json": ("patch", "show", "b"),
    "calibrations/*.json": ("calibrate", "--list"),
    "knowledge/*.json": ("knowledge", "versions"),
    "feedback/audit.jsonl": ("audit", "export", "--out", "never.xml"),
}
PLACES = 6


@pytest.fixture(scope="module")
def installation(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace that has each of them; a test leaves every byte as it was."""
    workspace = Workspace.open(Path(shutil.copytree(home, tmp_path_factory.mktemp("tampering") / "home")))
    folder = workspace.models / "chest"
    pipeline, digest = load_bottleneck(folder), read_record(folder)["digest"]
    check = ConceptCheck(present_from=0.8, present=share(np.ones(20), "somewhere"))
    Validation(digest, "held-out images of a", {"concept_1": check}).save(folder)
    PatchStore(workspace.patches).save(shifted(pipeline))
    one = SiteCalibration("b", digest, "0" * 64, None, "finding", 1.25, "2026-01-31", "2026-07-31")
    one.save(workspace.calibrations / f"{one.id}.json")
    workspace.knowledge.mkdir(exist_ok=True)
    (workspace.knowledge / "chest-radiograph.json").write_text(pipeline.bank.to_json(), encoding="utf-8")
    for number in range(5):
        audit.record(workspace, actor="ann", action="study.view", subject=f"2.25.{number}")
    return workspace


def _answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main([*words])
    held = capsys.readouterr()
    return status, held.out, held.err


def _checks(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> tuple[int, dict[str, Any]]:
    words = ("model", "verify", "chest", "--workspace", str(workspace.root), "--json")
    status, out, _ = _answer(capsys, *words)
    return status, {one["what"]: one["error"] for one in json.loads(out)["checks"]}


def test_an_installation_that_nobody_touched_is_sound(
    installation: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    status, checks = _checks(capsys, installation)
    assert (status, set(checks.values())) == (0, {None})
    assert [name.split("/")[0] for name in checks] == ["models", "patches", "calibrations", "knowledge", "feedback"]


@pytest.mark.parametrize("pattern", TABLE)
def test_the_check_of_a_model_refuses_by_name(
    installation: Workspace, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    [path] = installation.root.glob(pattern)
    codes, named = TABLE[pattern]
    draw = random.Random(f"tampering {pattern}")
    for _ in range(PLACES):
        with flipped(path, draw.random(), draw.randint(1, 255)):
            status, checks = _checks(capsys, installation)
        refused = {what: error for what, error in checks.items() if error is not None}
        inside = next(one for one in checks if path.relative_to(installation.root).as_posix().startswith(one))
        assert status == 1
        assert refused[inside]["code"] in codes
        assert (path.name if named == ".json" else named) in refused[inside]["message"] + inside
    assert _checks(capsys, installation)[0] == 0


@pytest.mark.parametrize("pattern", COMMANDS)
def test_so_does_the_command_of_its_own(
    installation: Workspace, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    [path] = installation.root.glob(pattern)
    codes, named = TABLE[pattern]
    words = (*COMMANDS[pattern], "--workspace", str(installation.root))
    draw = random.Random(f"command {pattern}")
    for _ in range(PLACES):
        with flipped(path, draw.random(), draw.randint(1, 255)):
            status, out, err = _answer(capsys, *words)
        assert status == 1, out
        assert any(f"[{code}]" in out + err for code in codes), out + err
        assert (path.name if named == ".json" else named) in out + err
