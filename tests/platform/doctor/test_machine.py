"""Every check of `osler doctor`, on parts that work and on parts that do not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest

from osler.doctor import Check, State, examine
from osler.doctor import machine as doctor
from osler.doctor.machine import GIB
from osler.workspace import Workspace


def test_a_check_is_one_line_with_its_mend() -> None:
    assert (
        Check("disk", State.FAIL, "0.1 GiB free", "free some space").line == "fail  disk: 0.1 GiB free; free some space"
    )
    assert Check("disk", State.OK, "9 GiB free").line == "ok    disk: 9 GiB free"


def test_python_is_compared_with_the_oldest_that_works() -> None:
    assert doctor.check_python().state is State.OK
    old = doctor.check_python((3, 10, 14))
    assert old.state is State.FAIL
    assert old.found.startswith("3.10.14 on ")
    assert old.mend == "use Python 3.11 or newer"


def test_missing_libraries_are_named_and_extras_are_not_missed() -> None:
    assert doctor.check_libraries().state is State.OK
    found = doctor.check_libraries(["numpy>=2", "surely_absent[x]>=1,<2", 'ray-absent>=2; extra == "ray"'])
    assert (found.state, found.found) == (State.FAIL, "missing: surely_absent")


def test_torch_and_torchvision_match_here() -> None:
    check = doctor.check_torch()
    assert check.state is State.OK
    assert metadata.version("torch") in check.found


def test_a_torchvision_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor._import

    def fails(name: str) -> object:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name)

    monkeypatch.setattr(doctor, "_import", fails)
    check = doctor.check_torch()
    assert check.state is State.FAIL
    assert "RuntimeError" in check.found


def test_a_subcommand_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = metadata.EntryPoint("broken", "osler.no_such_module", "osler.commands")
    assert doctor.check_commands().state is State.OK
    monkeypatch.setattr("osler.cli.command.installed_commands", lambda: {"broken": broken})
    assert doctor.check_commands().found == "cannot be imported: broken"


def test_every_decoder_of_the_package_is_here() -> None:
    checks = list(doctor.check_decoders())
    assert [check.part for check in checks if check.state is State.FAIL] == []
    assert {
        "decoder of RLE Lossless",
        "decoder of Explicit VR Little Endian",
        "decoder of JPEG Lossless, Non-Hierarchical (Process 14)",
        "decoder of JPEG Extended (Process 2 and 4), 12 bits",
    } <= {check.part for check in checks}


def test_decoders_that_are_absent_fail_since_all_of_them_come_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"RLE Lossless": "pylibjpeg (1)", "JPEG Lossless, Non-Hierarchical (Process 14)": None}
    monkeypatch.setattr("osler.dicom.decoders.decoder_table", lambda: table)
    assert [check.state for check in doctor.check_decoders()] == [State.OK, State.FAIL]


def test_an_encoder_is_held_against_its_hashes(tmp_path: Path) -> None:
    import hashlib
    import json

    assert doctor.check_encoder(tmp_path).state is State.FAIL
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {}, "preprocess_cfg": {}}), encoding="utf-8"
    )
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "hashes.json").write_text(json.dumps({"files": {weights.name: digest}}), encoding="utf-8")
    assert doctor.check_encoder(tmp_path) == Check(f"encoder {tmp_path.name}", State.OK, f"sha256 {digest}")
    weights.write_bytes(b"other weights")
    assert doctor.check_encoder(tmp_path).state is State.FAIL


def test_the_imagenet_weights_are_those_that_were_installed() -> None:
    # The file's own name holds the first eight digits of its hash, after the habit of torchvision.
    assert doctor.check_imagenet().found.startswith("sha256 57934424")


def test_imagenet_weights_absent_or_foreign() -> None:
    assert doctor.check_imagenet("surely-absent").state is State.WARN
    assert doctor.check_imagenet("numpy").state is State.FAIL


def test_a_workspace_is_none_or_one_or_something_else(tmp_path: Path) -> None:
    assert doctor.check_workspace(tmp_path / "new").state is State.WARN
    Workspace.open(tmp_path / "made", create=True)
    assert doctor.check_workspace(tmp_path / "made").state is State.OK
    assert doctor.check_workspace(tmp_path).state is State.FAIL


@pytest.mark.parametrize(("gib", "state"), [(0.4, State.FAIL), (1, State.WARN), (100, State.OK)])
def test_disk_space_has_two_thresholds(tmp_path: Path, gib: float, state: State) -> None:
    assert doctor.check_disk(tmp_path, int(gib * GIB)).state is state


def test_the_disk_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert doctor.check_disk(tmp_path / "not" / "yet").found == doctor.check_disk(tmp_path).found
    assert not (tmp_path / "not").exists()


def _tracker(workspace: Workspace) -> Check:
    (found,) = doctor.check_tracker(workspace.root)
    return found


def test_a_tracker_is_new_or_writable_or_neither(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    database = workspace.root / "mlflow.db"
    assert _tracker(workspace).found.endswith("the first run makes mlflow.db")
    assert not database.exists()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE runs (id)")
        connection.commit()
        assert _tracker(workspace).state is State.OK
        connection.execute("BEGIN EXCLUSIVE")
        locked = _tracker(workspace)
        assert (locked.state, "locked" in locked.found) == (State.FAIL, True)
    database.write_bytes(b"no data base at all, but long enough to be looked at" * 100)
    assert _tracker(workspace).state is State.FAIL


def test_optional_parts_never_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OPTIONAL", (("numpy", "arrays", "x"), ("surely-absent", "nothing", "pip install it")))
    present, absent = doctor.check_optional()
    assert present.found == f"{metadata.version('numpy')}, arrays"
    assert (absent.state, absent.mend) == (State.WARN, "pip install it")


def test_the_examination_has_every_part_and_changes_nothing(tmp_path: Path) -> None:
    checks = examine(tmp_path / "workspace")
    parts = " ".join(check.part for check in checks)
    for part in (
        "python",
        "libraries",
        "torch",
        "commands",
        "decoder",
        "encoder",
        "ImageNet",
        "disk",
        "tracker",
        "streamlit",
    ):
        assert part in parts
    assert list(tmp_path.iterdir()) == []
    assert all("\n" not in check.line for check in checks)
    assert all(check.mend for check in checks if check.state is not State.OK)
