"""One changed byte, anywhere, in any kind of file: refused, with the file's name and a code that stays."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.platform.patches import shifted

from osler import audit
from osler.adapt.store import PatchStore
from osler.bottleneck.artefact import load_bottleneck, read_record, save_bottleneck
from osler.calibrate.record import SiteCalibration
from osler.exchange.manifest import MANIFEST, Manifest
from osler.exchange.package import unpacked
from osler.exchange.service import export_model, import_model
from osler.exchange.verify import verify_model
from osler.explain.measuring import share
from osler.explain.validation import ConceptCheck, Validation, intact
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .spoiling import flip, flipped

BYTES = st.integers(1, 255)
PLACES = st.floats(0, 1, exclude_max=True)
FAST = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal_of(path: Path, into: Path) -> OslerError:
    with pytest.raises(OslerError) as caught, unpacked(path, into):
        pass
    return caught.value


@pytest.fixture(scope="module")
def sent(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a package that has every kind of file, as a folder and as a zip."""
    root = tmp_path_factory.mktemp("sent")
    shutil.copytree(home, root / "home")
    workspace = Workspace.open(root / "home")
    _checked(workspace.models / "chest")
    for name in ("package", "chest.zip"):
        export_model(workspace, "chest", root / name, actor="a", bundle=True)
    return root


@pytest.fixture
def package(sent: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder."""
    return Path(shutil.copytree(sent / "package", tmp_path / "package"))


def _checked(folder: Path) -> None:
    hits = np.ones(20)
    check = ConceptCheck(present_from=0.8, present=share(hits, "somewhere"))
    Validation(read_record(folder)["digest"], "held-out images of a", {"concept_1": check}).save(folder)


FILES = [
    "models/bottleneck.safetensors",
    "models/bottleneck.json",
    "models/bank.json",
    "models/card.md",
    "models/validation.json",
    "models/encoder/model.safetensors",
    "models/encoder/hashes.json",
    "configs/inference.json",
    "configs/metadata.json",
    "docs/licences.md",
    "manifest.json",
]


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_in_a_package_is_refused_by_name(package: Path, tmp_path: Path, name: str) -> None:
    @FAST
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        with flipped(package / name, where, by):
            error = refusal_of(package, tmp_path)
        assert name in error.message
        expected = {Code.MODEL_HASH_MISMATCH} if name != MANIFEST else {Code.MODEL_HASH_MISMATCH, Code.MODEL_INVALID}
        assert error.code in expected

    everywhere()
    with unpacked(package, tmp_path) as (folder, _):
        assert (folder / "models").is_dir()


REFUSALS = {
    Code.MODEL_HASH_MISMATCH,
    Code.MODEL_INVALID,
    Code.PATH_OUTSIDE,
    Code.SOURCE_INVALID,
    Code.ZIP_BOMB,
    Code.ZIP_DAMAGED,
    Code.ZIP_ENCRYPTED,
}


def test_a_changed_byte_in_a_zip_is_refused_or_changes_nothing(sent: Path, package: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sent / "chest.zip", tmp_path))
    whole = {one: (package / one).read_bytes() for one in FILES if one != MANIFEST}

    @settings(FAST, max_examples=50)
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        code = None
        with flipped(path, where, by):
            try:
                with unpacked(path, tmp_path) as (folder, _):
                    assert {one: (folder / one).read_bytes() for one in whole} == whole
            except OslerError as error:
                code = error.code
        assert code in {None, *REFUSALS}

    everywhere()


def zipped(path: Path, members: dict[str, bytes], **odd: zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w") as package:
        for name, content in members.items():
            package.writestr(odd.get(name, name), content)
    return path


def tree(package: Path) -> dict[str, bytes]:
    return {f"chest/{one.relative_to(package)}": one.read_bytes() for one in package.rglob("*") if one.is_file()}


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("chest/models/extra.json", Code.MODEL_INVALID),
        ("chest/../../out.json", Code.PATH_OUTSIDE),
        ("/etc/out.json", Code.PATH_OUTSIDE),
        ("C:/out.json", Code.PATH_OUTSIDE),
        ("chest\\..\\..\\out.json", Code.PATH_OUTSIDE),
        ("chest/models/BANK.json", Code.MODEL_INVALID),
        ("chest/models/weights.pkl", Code.MODEL_INVALID),
        ("chest/models/model.pt", Code.MODEL_INVALID),
        ("chest/models/.hidden.json", Code.MODEL_INVALID),
        ("chest/models/bank.json/below.json", Code.MODEL_INVALID),
        ("elsewhere/models/extra.json", Code.MODEL_INVALID),
    ],
)
def test_a_file_too_many_is_refused_by_name(package: Path, tmp_path: Path, extra: str, code: Code) -> None:
    path = zipped(tmp_path / "chest.zip", tree(package) | {extra: b"{}"})
    error = refusal_of(path, tmp_path)
    assert error.code is code
    assert extra.removeprefix("chest/").replace("\\", "\\\\") in error.message
    assert not (tmp_path / "out.json").exists()


def test_files_that_are_missing_links_or_doubled(package: Path, tmp_path: Path) -> None:
    members = tree(package)
    less = {name: content for name, content in members.items() if not name.endswith("bank.json")}
    assert "models/bank.json" in refusal_of(zipped(tmp_path / "less.zip", less), tmp_path).message
    no_list = {name: content for name, content in members.items() if not name.endswith(MANIFEST)}
    assert MANIFEST in refusal_of(zipped(tmp_path / "none.zip", no_list), tmp_path).message
    link = zipfile.ZipInfo("chest/models/card.md")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    path = zipped(tmp_path / "link.zip", members | {"chest/models/card.md": b"/etc/passwd"}, **{link.filename: link})
    error = refusal_of(path, tmp_path)
    assert (error.code, "models/card.md" in error.message) == (Code.MODEL_INVALID, True)
    twice = zipped(tmp_path / "twice.zip", members)
    with zipfile.ZipFile(twice, "a") as package_, pytest.warns(UserWarning, match="Duplicate"):
        package_.writestr("chest/models/card.md", b"# Other")
    assert "models/card.md" in refusal_of(tmp_path / "twice.zip", tmp_path).message
    (package / "models" / "card.md").unlink()
    (package / "models" / "card.md").symlink_to("/etc/passwd")
    assert "models/card.md" in refusal_of(package, tmp_path).message


def test_a_bomb_is_not_unpacked(package: Path, tmp_path: Path) -> None:
    members = tree(package)
    manifest = Manifest.from_bytes(members[f"chest/{MANIFEST}"])
    large = {**manifest.files, "models/bank.json": replace(manifest.files["models/bank.json"], bytes=1 << 40)}
    members[f"chest/{MANIFEST}"] = replace(manifest, files=large).to_bytes()
    path = tmp_path / "bomb.zip"
    zipped(path, members)
    content = path.read_bytes()
    size = struct.pack("<I", len(members["chest/models/bank.json"]))
    path.write_bytes(content.replace(size, struct.pack("<I", 0xFFFFFFF0)))
    assert refusal_of(path, tmp_path).code in (Code.MODEL_HASH_MISMATCH, Code.ZIP_BOMB, Code.ZIP_DAMAGED)
    assert list(tmp_path.glob(".opening-*")) == []


def test_another_format_is_refused(package: Path, tmp_path: Path) -> None:
    record = json.loads((package / MANIFEST).read_text())
    (package / MANIFEST).write_text(json.dumps(record | {"format": "osler-model/9"}))
    error = refusal_of(package, tmp_path)
    assert (error.code, MANIFEST in error.message) == (Code.MODEL_INVALID, True)


def test_a_forger_who_makes_a_new_list_does_not_have_the_digest_that_was_told(
    workspace: Workspace, package: Path, tmp_path: Path
) -> None:
    told = Manifest.from_bytes((package / MANIFEST).read_bytes()).digest
    shutil.rmtree(package)
    folder = workspace.models / "chest"
    forged = replace(load_bottleneck(folder), notes={"forged": True})
    save_bottleneck(forged, folder, card="# Forged\n")
    export_model(workspace, "chest", package, actor="a", bundle=True)
    away = Workspace.open(tmp_path / "away", create=True)
    with pytest.raises(OslerError) as caught:
        import_model(away, package, actor="b", sha256=told)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


@pytest.mark.parametrize("name", ["bottleneck.json", "bottleneck.safetensors", "bank.json", "card.md"])
def test_a_changed_byte_in_a_model_that_is_in_use(workspace: Workspace, name: str) -> None:
    folder = workspace.models / "chest"

    @FAST
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        with flipped(folder / name, where, by), pytest.raises(OslerError) as caught:
            load_bottleneck(folder)
        assert caught.value.code in (Code.MODEL_HASH_MISMATCH, Code.MODEL_INVALID)
        assert name in caught.value.message

    everywhere()


@pytest.mark.parametrize("name", ["model.safetensors", "open_clip_config.json", "vocabulary.txt", "card.md"])
def test_a_changed_byte_in_the_encoder_beside_a_model(workspace: Workspace, name: str) -> None:
    flip(workspace.models / "chest" / "encoder" / name, 0.5, 1)
    error = next(one.error for one in verify_model(workspace, "chest") if one.what == "models/chest")
    assert error is not None
    assert error.code in (Code.MODEL_HASH_MISMATCH, Code.MODEL_INVALID)
    assert name in error.message


def test_a_changed_byte_in_what_was_checked(workspace: Workspace) -> None:
    folder = workspace.models / "chest"
    _checked(folder)
    digest = read_record(folder)["digest"]
    assert intact(folder, digest)

    @FAST
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        with flipped(folder / "validation.json", where, by):
            assert not intact(folder, digest)

    everywhere()


def test_a_changed_byte_in_a_patch(workspace: Workspace) -> None:
    folder = workspace.models / "chest"
    patch = shifted(load_bottleneck(folder)).with_status("active", "2026-02-01", "a note")
    path = PatchStore(workspace.patches).save(patch)
    assert {one.what: one.error for one in verify_model(workspace, "chest")}[f"patches/{path.name}"] is None

    @FAST
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        with flipped(path, where, by), pytest.raises(OslerError) as caught:
            PatchStore(workspace.patches).all()
        assert caught.value.code is Code.PATCH_INVALID
        assert path.name in caught.value.message

    everywhere()
    flip(path, 0.5, 1)
    error = {one.what: one.error for one in verify_model(workspace, "chest")}[f"patches/{path.name}"]
    assert error is not None
    assert error.code is Code.PATCH_INVALID


def test_a_changed_byte_in_a_calibration(workspace: Workspace) -> None:
    record = read_record(workspace.models / "chest")
    one = SiteCalibration("b", record["digest"], "0" * 64, None, "finding", 1.25, "2026-01-31", "2026-07-31")
    one = one.with_status("revoked", "2026-02-01", "a note")
    path = workspace.calibrations / f"{one.id}.json"
    one.save(path)

    @FAST
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        with flipped(path, where, by), pytest.raises(OslerError) as caught:
            SiteCalibration.load(path)
        assert caught.value.code is Code.CALIBRATION_INVALID
        assert path.name in caught.value.message

    everywhere()


def test_a_changed_byte_in_the_audit_log_is_named_by_its_entry(workspace: Workspace) -> None:
    for number in range(5):
        audit.record(workspace, actor="ann", action="test.step", subject=f"step {number}")
    path = workspace.feedback / audit.LOG

    @FAST
    @given(PLACES, BYTES)
    def everywhere(where: float, by: int) -> None:
        with flipped(path, where, by) as before:
            found = audit.verify(workspace)
        number = before[: int(where * len(before))].count(b"\n") + 1
        assert found.fault is not None
        assert found.entry == number

    everywhere()
    flip(path, 0.5, 1)
    checked = {one.what: one.error for one in verify_model(workspace, "chest")}["feedback/audit.jsonl"]
    assert checked is not None
    assert checked.code is Code.AUDIT_BROKEN
    assert "Entry 3" in checked.message
