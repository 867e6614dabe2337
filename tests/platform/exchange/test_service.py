"""A model leaves one workspace and enters another: the very same, once, and written down."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from osler import audit
from osler.bottleneck.artefact import find_encoder, load_bottleneck
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.exchange.licences import Terms
from osler.exchange.manifest import MANIFEST, Manifest
from osler.exchange.service import EXPORTED, IMPORTED, checked_package, export_model, import_model
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.fixture
def away(tmp_path: Path) -> Workspace:
    """Return the workspace of somebody else."""
    return Workspace.open(tmp_path / "away", create=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["chest.zip", "chest"])
def test_a_model_arrives_as_it_left(
    workspace: Workspace, away: Workspace, tmp_path: Path, name: str, images: list[np.ndarray]
) -> None:
    sent = export_model(workspace, "chest", tmp_path / name, actor="a", terms=Terms("Apache-2.0", "MIT"))
    done = import_model(away, tmp_path / name, actor="b", sha256=sent.digest)
    assert done.fresh
    came = contents(away.models / "chest")
    assert json.loads(came.pop("licences.json"))["weights"] == "MIT"
    assert came == contents(workspace.models / "chest")
    assert list(away.models.glob(".opening-*")) == []
    both = []
    for one in (workspace, away):
        folder = one.models / "chest"
        encoder = open_encoder(find_encoder(load_bottleneck(folder).encoder_digest, folder))
        both.append(load_bottleneck(folder, encoder).predict(images).logits)
    np.testing.assert_array_equal(*both)


def test_the_same_model_gives_the_same_bytes_wherever_it_was(
    workspace: Workspace, away: Workspace, tmp_path: Path
) -> None:
    terms = Terms("Apache-2.0", "MIT")
    for name in ("one.zip", "two.zip", "folder"):
        export_model(workspace, "chest", tmp_path / name, actor="a", terms=terms)
    import_model(away, tmp_path / "folder", actor="b")
    export_model(away, "chest", tmp_path / "three.zip", actor="b")
    first = (tmp_path / "one.zip").read_bytes()
    assert first == (tmp_path / "two.zip").read_bytes() == (tmp_path / "three.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as package:
        members = {one.filename.removeprefix("chest/"): package.read(one) for one in package.infolist()}
        assert members == contents(tmp_path / "folder")
        assert package.namelist()[0] == f"chest/{MANIFEST}"


def test_the_manifest_names_every_file_and_the_terms_of_every_part(workspace: Workspace, tmp_path: Path) -> None:
    sent = export_model(workspace, "chest", tmp_path / "out", actor="a", terms=Terms("CC-BY-4.0"))
    assert set(sent.files) == set(contents(tmp_path / "out")) - {MANIFEST}
    assert Manifest.from_bytes((tmp_path / "out" / MANIFEST).read_bytes()) == sent
    assert sent.model == load_bottleneck(workspace.models / "chest").digest
    terms = {one.part: (one.terms, one.count) for one in sent.licences}
    assert terms == {
        "model": ("CC-BY-4.0", 0),
        "encoder encoder: weights": ("", 0),
        "passages quoted by the bank": ("", 1),
    }
    text = (tmp_path / "out" / "docs" / "licences.md").read_text()
    assert "- model: CC-BY-4.0\n" in text
    assert "- passages quoted by the bank (1): not stated\n" in text


def test_nothing_that_is_there_is_replaced(workspace: Workspace, away: Workspace, tmp_path: Path) -> None:
    package = tmp_path / "chest.zip"
    export_model(workspace, "chest", package, actor="a")
    import_model(away, package, actor="b")
    entries = len(audit.entries(away))
    assert not import_model(away, package, actor="b").fresh
    assert len(audit.entries(away)) == entries
    (away.models / "chest" / "card.md").write_text("# Mine\n")
    with pytest.raises(OslerError, match="another model 'chest'") as caught:
        import_model(away, package, actor="b")
    assert caught.value.code is Code.USAGE
    assert (away.models / "chest" / "card.md").read_text() == "# Mine\n"
    assert import_model(away, package, actor="b", name="second").folder.name == "second"
    before = package.read_bytes()
    with pytest.raises(OslerError, match="there already") as caught:
        export_model(workspace, "chest", package, actor="a")
    assert caught.value.code is Code.USAGE
    assert package.read_bytes() == before


def test_leaving_and_entering_are_in_the_audit_log(workspace: Workspace, away: Workspace, tmp_path: Path) -> None:
    sent = export_model(workspace, "chest", tmp_path / "chest.zip", actor="ann")
    import_model(away, tmp_path / "chest.zip", actor="ben", name="theirs")
    left, came = audit.entries(workspace)[-1], audit.entries(away)[-1]
    assert (left.actor, left.action, left.subject) == ("ann", EXPORTED, sent.model)
    assert (came.actor, came.action, came.subject) == ("ben", IMPORTED, sent.model)
    assert came.details == {"model": "theirs", "package": sent.digest, "file": "chest.zip"}


def test_where_it_cannot_be_audited_nothing_comes_in(workspace: Workspace, away: Workspace, tmp_path: Path) -> None:
    export_model(workspace, "chest", tmp_path / "chest.zip", actor="ann")
    import_model(away, tmp_path / "chest.zip", actor="ben", name="first")
    (away.feedback / audit.HEAD).write_text("nonsense")
    with pytest.raises(OslerError) as caught:
        import_model(away, tmp_path / "chest.zip", actor="ben", name="second")
    assert caught.value.code is Code.AUDIT_BROKEN
    assert not (away.models / "second").exists()


def test_another_package_than_the_one_that_was_announced(workspace: Workspace, away: Workspace, tmp_path: Path) -> None:
    export_model(workspace, "chest", tmp_path / "chest.zip", actor="ann")
    with pytest.raises(OslerError, match=r"manifest\.json") as caught:
        import_model(away, tmp_path / "chest.zip", actor="ben", sha256="0" * 64)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH
    assert [path for path in away.models.iterdir() if path.name != ".lock"] == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "naïve", "a\n"])
def test_names_that_no_model_can_have(workspace: Workspace, away: Workspace, tmp_path: Path, name: str) -> None:
    export_model(workspace, "chest", tmp_path / "chest.zip", actor="ann")
    if name:
        with pytest.raises(OslerError) as caught:
            import_model(away, tmp_path / "chest.zip", actor="ben", name=name)
        assert caught.value.code is Code.USAGE
    with pytest.raises(OslerError) as caught:
        export_model(workspace, name, tmp_path / "again.zip", actor="ann")
    assert caught.value.code in (Code.MODEL_INVALID, Code.USAGE)


def test_an_encoder_that_is_shipped_is_named_and_not_carried(make_pipeline, tmp_path: Path) -> None:
    from osler.bottleneck.artefact import save_bottleneck

    home = Workspace.open(tmp_path / "home", create=True)
    encoder = open_encoder("chest_morphometry")
    save_bottleneck(make_pipeline(encoder.width, encoder=encoder), home.models / "rules", card="# By rules\n")
    sent = export_model(home, "rules", tmp_path / "rules.zip", actor="a")
    assert sent.encoder_name == "chest_morphometry"
    assert not any("encoder" in path for path in sent.files)
    with checked_package(tmp_path / "rules.zip", tmp_path) as (_, manifest):
        assert json.loads(manifest.to_bytes())["encoder"] == encoder.digest
