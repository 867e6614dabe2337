"""A model trained on version n refuses version n+1 with a sentence that says what changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from osler.archive import Archive
from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.pipeline import Pipeline
from osler.cli.main import main
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_knowledge.review import Reviewer, accept, reword, set_codes, set_prior

WHO = Reviewer("Dr A", "2025-01-31T09:00:00+00:00", "clearer")


def test_a_model_takes_on_what_was_decided_since_on_its_own_version(
    make_pipeline: Callable[..., Pipeline], make_bank: Callable[..., ConceptBank], tmp_path: Path
) -> None:
    held = load_bottleneck(save_bottleneck(make_pipeline(8), tmp_path / "model", card="# Card\n"))
    bank = set_codes(accept(make_bank(7), "concept_1", WHO), {"concept_1": {"RadLex": "RID1"}}, WHO)
    joined = held.with_bank(bank)
    assert joined.digest == held.digest
    assert joined.bank.ids == held.bank.ids
    assert joined.bank.concept("concept_1").status == "accepted"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda bank: reword(bank, "concept_1", WHO, question="Now?"), r"concept_1 was reworded: .* became 'Now\?'"),
        (lambda bank: set_prior(bank, "concept_0", "pneumonia", 1, WHO), "pneumonia was unknown and is for"),
        (lambda bank: set_prior(bank, "concept_6", "pneumonia", 1, WHO), "concept_6: the prior for pneumonia"),
    ],
)
def test_a_model_refuses_the_next_version_with_what_changed(
    make_pipeline: Callable[..., Pipeline],
    make_bank: Callable[..., ConceptBank],
    step: Callable[[ConceptBank], ConceptBank],
    words: str,
) -> None:
    with pytest.raises(OslerError, match=f"fitted on version 1 .* this is version 2.*{words}") as caught:
        make_pipeline(8).with_bank(step(make_bank(7)))
    assert caught.value.code == Code.BANK_MISMATCH


def test_the_command_explains_with_its_version_alone(
    hospital: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = next(one for one in Archive(hospital).studies() if Archive(hospital).frontal(one))
    own = ConceptBank.load(hospital.models / "random" / "bank.json")
    words = ["explain", study.uid, "--model", "random", "--workspace", str(hospital.root), "--json"]
    own.save(tmp_path / "own.json")
    assert main([*words, "--bank", str(tmp_path / "own.json")]) == 0
    capsys.readouterr()
    reword(own, own.ids[0], WHO, question="Now?").save(tmp_path / "next.json")
    assert main([*words, "--bank", str(tmp_path / "next.json")]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == Code.BANK_MISMATCH
    assert "'Now?' (clearer)" in error["message"]
