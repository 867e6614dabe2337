"""Zips, sound and hostile: every member is received, none escapes, none fills the disk."""

from __future__ import annotations

import random
import shutil
import stat
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osler import zips
from osler.ingest.source import Source
from osler.sources.spool import Spool
from osler.sources.zipped import ZipSource
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Take = Callable[[Source], list[tuple[bytes | None, str]]]


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


def test_members_at_every_depth_in_the_order_of_a_folder(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    members = {"b/1.dcm": b"b1", "a.dcm": b"a", "a/2/x": b"a2x", "a/10/x": b"a10x", ".hidden": b"h", "ä ö": b"u"}
    path = write_zip(tmp_path / "films.zip", members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.mkdir("empty")
    shutil.unpack_archive(path, tmp_path / "out")
    in_folder = [item.read_bytes() for item in sorted((tmp_path / "out").rglob("*")) if item.is_file()]
    assert take(ZipSource(path, workspace)) == [(content, "") for content in in_folder]


def test_members_lie_on_disk_only_between_their_turn_and_settling(workspace: Workspace, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "films.zip", {f"{number}": b"x" for number in range(6)})
    spool = workspace.root / "spool" / "zip"
    with ZipSource(path, workspace) as source:
        assert source.total == 6
        arrivals = []
        for number, arrival in enumerate(source, 1):
            arrivals.append(arrival)
            if number % 2 == 0:
                assert len(list(spool.iterdir())) == 2
                source.settled(arrivals[-2:])
                assert list(spool.iterdir()) == []
        assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert not spool.exists()


def test_what_a_killed_run_left_is_wiped(workspace: Workspace, tmp_path: Path) -> None:
    left = workspace.root / "spool" / "zip" / "left.dcm"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"a patient")
    with ZipSource(write_zip(tmp_path / "films.zip", {"a": b"x"}), workspace):
        assert not left.exists()


def test_one_run_at_a_time_has_the_spool(workspace: Workspace, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "films.zip", {"a": b"x"})
    with Spool(workspace, "zip"), pytest.raises(OslerError) as caught, ZipSource(path, workspace):
        pass
    assert caught.value.code is Code.WORKSPACE_OCCUPIED
    with ZipSource(path, workspace) as source:
        assert source.total == 1


@pytest.mark.parametrize("name", ["../../out.dcm", "/etc/out.dcm", "a/../../out.dcm", "..\\out.dcm", "C:\\out.dcm"])
def test_names_that_lead_out_are_refused_and_write_nothing(
    take: Take, workspace: Workspace, tmp_path: Path, name: str
) -> None:
    (tmp_path / "deep").mkdir()
    path = write_zip(tmp_path / "deep" / "films.zip", {name: b"x", "good": b"y"})
    before = {item for item in tmp_path.rglob("*") if "spool" not in item.parts}
    assert sorted(take(ZipSource(path, workspace)), key=str) == [(b"x", "path-outside"), (b"y", "")]
    assert {item for item in tmp_path.rglob("*") if "spool" not in item.parts} == before
    assert not Path("/etc/out.dcm").exists()


def test_a_bomb_is_refused_and_its_neighbours_are_taken(
    take: Take, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "FREE_BYTES", 1 << 16)
    members = {"a": b"small", "bomb": bytes(1 << 20), "c": random.Random(1).randbytes(1 << 17), "d": bytes(1 << 15)}
    path = write_zip(tmp_path / "films.zip", members)
    assert [code for _, code in take(ZipSource(path, workspace))] == ["", "zip-bomb", "", ""]


def test_many_small_bombs_are_one_bomb(
    take: Take, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "FREE_BYTES", 1 << 20)
    path = write_zip(tmp_path / "films.zip", {f"{number:02d}": bytes(1 << 18) for number in range(20)})
    codes = [code for _, code in take(ZipSource(path, workspace))]
    assert codes == [""] * 4 + ["zip-bomb"] * 16


def test_a_blank_image_is_no_bomb(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    blank = bytes(32 << 20)
    assert take(ZipSource(write_zip(tmp_path / "films.zip", {"blank": blank}), workspace)) == [(blank, "")]


def test_a_member_that_lies_about_its_size_is_cut_and_damaged(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "films.zip", {"lie": bytes(1 << 20)})
    content = path.read_bytes()
    assert content.count(struct.pack("<I", 1 << 20)) == 2
    path.write_bytes(content.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 1000)))
    assert take(ZipSource(path, workspace)) == [(None, "zip-damaged")]


def test_too_many_members_are_refused_as_a_whole(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "MOST_MEMBERS", 3)
    path = write_zip(tmp_path / "films.zip", {str(number): b"x" for number in range(4)})
    with pytest.raises(OslerError) as caught, ZipSource(path, workspace):
        pass
    assert caught.value.code is Code.ZIP_BOMB


def test_damaged_member_among_sound_ones(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "films.zip", {"a": b"first" * 9, "b": b"second" * 9, "c": b"third" * 9}, zipfile.ZIP_STORED
    )
    content = path.read_bytes()
    path.write_bytes(content.replace(b"second" * 9, b"sEcond" * 9))
    assert [code for _, code in take(ZipSource(path, workspace))] == ["", "zip-damaged", ""]


@pytest.mark.system
def test_encrypted_members_are_refused(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "secret.dcm").write_bytes(b"a patient")
    subprocess.run(["zip", "-q", "-P", "password", "films.zip", "secret.dcm"], cwd=tmp_path, check=True)
    assert take(ZipSource(tmp_path / "films.zip", workspace)) == [(None, "zip-encrypted")]


def test_encryption_is_seen_in_the_flags(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "films.zip", {"secret": b"x" * 50}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    assert take(ZipSource(path, workspace)) == [(None, "zip-encrypted")]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"no zip at all", Code.SOURCE_INVALID), (b"", Code.SOURCE_INVALID), (None, Code.SOURCE_MISSING)],
)
def test_what_is_no_zip(workspace: Workspace, tmp_path: Path, content: bytes | None, code: Code) -> None:
    path = tmp_path / "films.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OslerError) as caught, ZipSource(path, workspace):
        pass
    assert caught.value.code is code


def test_empty_zip(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught, ZipSource(write_zip(tmp_path / "films.zip", {}), workspace):
        pass
    assert caught.value.code is Code.EMPTY_SOURCE


def test_a_member_without_a_name_is_read_like_any_other(take: Take, workspace: Workspace, tmp_path: Path) -> None:
    sound = write_zip(tmp_path / "sound.zip", {"?": b"first", "b/": b"", "c": b"second"}).read_bytes()
    path = tmp_path / "films.zip"
    path.write_bytes(sound.replace(b"?", b"\0"))  # a name ends at the first NUL
    assert take(ZipSource(path, workspace)) == [(b"first", ""), (b"second", "")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_mutation_gives_arrivals_or_a_clear_error(
    take: Take, workspace: Workspace, tmp_path: Path, data: st.DataObject
) -> None:
    sound = {"a.dcm": b"first" * 40, "b/c.dcm": b"second" * 40, "d": b"third"}
    content = bytearray(write_zip(tmp_path / "sound.zip", sound).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.zip"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    taken, whole = [], ""
    try:
        taken = take(ZipSource(path, workspace))
    except OslerError as error:
        whole = str(error.code)
    assert whole in ("", "source-invalid", "empty-source")
    for received, code in taken:
        assert code or received in sound.values()
