"""Ray's engine beside this machine's: the same bytes, the same protection, also when workers are killed."""

from __future__ import annotations

import ctypes
import hashlib
import operator
import os
import re
import shlex
import shutil
import socket
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from ray.scripts.scripts import start as ray_start
from sqlalchemy import select
from sqlalchemy.orm import Session

from osler.archive import Archive
from osler.archive.images import StudyImages
from osler.archive.models import Instance
from osler.bottleneck import encoding
from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.cli.main import main
from osler.engine import UNLIMITED, EngineChoice, Limits
from osler.engine.ray_cluster import connected
from osler.explain.batch import explain_site
from osler.explain.service import StudyExplainer
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .conftest import TwoNodes

pytestmark = pytest.mark.system

LOCAL = EngineChoice(workers=2)
FILES = 60
CRASH, ABORT, FINE = partial(ctypes.string_at, 0), partial(os.abort), partial(abs, -7)
HANG, FILL = partial(time.sleep, 600), partial(operator.mul, b"x", 8 << 30)


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "sqlite" not in path.name)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def index(workspace: Workspace) -> list[dict[str, Any]]:
    """Return what the index says of the instances."""
    with Session(Archive(workspace).engine) as session:
        rows = session.scalars(select(Instance).order_by(Instance.uid)).all()
        return [{key: value for key, value in vars(row).items() if not key.startswith("_")} for row in rows]


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory, make_radiograph: Callable[..., Dataset]) -> Path:
    """A folder of radiographs."""
    folder = tmp_path_factory.mktemp("incoming")
    for number in range(FILES):
        make_radiograph(number).save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def local(
    tmp_path_factory: pytest.TempPathFactory,
    incoming: Path,
    make_pipeline: Callable[..., Pipeline],
    encoder: OpenClipEncoder,
    resnet_folder: Path,
) -> Workspace:
    """A workspace that the local engine filled, with a model."""
    workspace = Workspace.open(tmp_path_factory.mktemp("local") / "w", create=True)
    ingest(incoming, site="c", workspace=workspace, key=bytes(32), engine=LOCAL, today=date(2024, 5, 1))
    save_bottleneck(make_pipeline(encoder.width, encoder=encoder), workspace.models / "random", card="# Random\n")
    shutil.copytree(resnet_folder, workspace.models / "random" / "encoder")
    return workspace


def test_an_archive_is_the_same_when_workers_are_killed(
    two_nodes: TwoNodes, incoming: Path, local: Workspace, tmp_path: Path
) -> None:
    killed = []

    def kill_once(*_: object) -> None:
        if not killed:
            killed.append(two_nodes.kill_one_of_each())

    remote = Workspace.open(tmp_path / "w", create=True)
    engine = EngineChoice("ray", 2, two_nodes.address)
    summary = ingest(
        incoming, site="c", workspace=remote, key=bytes(32), engine=engine, on_file=kill_once, today=date(2024, 5, 1)
    )
    assert (summary.accepted, killed) == (FILES, [2])
    assert contents(remote.archive) == contents(local.archive)
    assert index(remote) == index(local)
    assert not list(tmp_path.rglob(".seen-*"))


def test_what_crashes_hangs_or_takes_too_much_costs_itself_alone(two_nodes: TwoNodes) -> None:
    tasks = [FINE, ABORT, FINE, FILL, *[FINE] * 15, HANG, *[FINE] * 15, CRASH]
    losses = {ABORT: Code.DECODE_CRASH, CRASH: Code.DECODE_CRASH, FILL: Code.OUT_OF_MEMORY, HANG: Code.DECODE_TIMEOUT}
    wanted = [losses.get(one, 7) for one in tasks]
    for engine in (EngineChoice(workers=1), EngineChoice("ray", 2, two_nodes.address)):
        with engine.open(Limits(seconds=10.0, memory_bytes=1 << 30)) as pool:
            assert list(pool.map(operator.call, tasks, lambda _task, error: error.code)) == wanted
            with pytest.raises(ZeroDivisionError):
                list(pool.map(operator.call, [partial(divmod, 1, 0)]))


def test_features_are_the_same_when_workers_are_killed(
    two_nodes: TwoNodes, local: Workspace, resnet_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BATCH", 4)
    archive = Archive(local)
    images = StudyImages.of(archive, archive.studies(), grey=False)
    killed: list[int] = []

    def kill_once(_line: str) -> None:
        if not killed:
            killed.append(two_nodes.kill_one_of_each())

    encoder = OpenClipEncoder.from_folder(resnet_folder)
    for engine, name in ((LOCAL, "local"), (EngineChoice("ray", 2, two_nodes.address), "ray")):
        what = encoding.Encoding(LazyEncoder(resnet_folder, encoder.digest), tmp_path / name)
        with engine.open(UNLIMITED, encoding.PRELOAD, ahead=1, folders=[tmp_path / name]) as pool:
            hear = kill_once if name == "ray" else (lambda _: None)
            assert encoding.encode_images(pool, what, images, hear) == (len(images), 0)
        assert not list(encoding._parts(what, images)), "everything is in the cache"
    assert killed == [2]
    assert len(images) > 40
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_explanations_are_the_same(two_nodes: TwoNodes, local: Workspace, tmp_path: Path) -> None:
    for name, engine in (("local", LOCAL), ("ray", EngineChoice("ray", 2, two_nodes.address))):
        batch = explain_site(StudyExplainer(local, "random"), "c", tmp_path / name, "json", engine=engine)
        assert (batch.written, dict(batch.refused)) == (len(batch.findings) and batch.findings.total(), {})
        shutil.rmtree(local.cache)
        local.cache.mkdir()
    found = contents(tmp_path / "ray")
    assert found == contents(tmp_path / "local")
    assert len(found) > 40


def test_the_commands_of_the_document(
    two_nodes: TwoNodes, incoming: Path, local: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of Osler are run, from a folder that Ray's workers do not start in; options of `ray start` are parsed."""
    text = (Path(__file__).parents[3] / "docs" / "scale.md").read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in re.findall(r"^(?:ray start|osler) .*", text, re.MULTILINE)]
    for _, _, *options in (line for line in lines if line[0] == "ray"):
        ray_start.make_context("start", options)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(incoming, "incoming")
    shutil.copytree(local.models / "random", "workspace/models/bottleneck")
    shutil.copy(local.root / "osler-workspace", "workspace")
    ran = []
    for _, *words in (line for line in lines if line[0] == "osler" and line[1] != "shift"):
        words[words.index("--address") + 1] = two_nodes.address
        assert main(words) == 0, words
        ran.append(words[0])
    assert ran == ["ingest", "encoder", "explain"]
    assert len(list(Path("explained").glob("*.json"))) > 40


def test_a_node_that_came_up_too_late_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    init, late = ray.init, [True, True]

    def start(**options: Any) -> Any:
        if late and late.pop():
            raise RuntimeError("The node did not come up within 30 seconds.")
        return init(**options)

    monkeypatch.setattr(ray, "init", start)
    with connected(None, 1):
        assert ray.is_initialized()
    assert not ray.is_initialized()
    late.extend([True] * 3)
    with pytest.raises(OslerError) as told, connected(None, 1):
        pass
    assert told.value.code == Code.SERVER_UNREACHABLE
    assert "did not come up" in told.value.message


def test_an_address_where_no_cluster_is(tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        for address, code in ((f"127.0.0.1:{port}", Code.SERVER_UNREACHABLE), ("somewhere", Code.USAGE)):
            with pytest.raises(OslerError) as caught:
                EngineChoice("ray", address=address).open()
            assert caught.value.code is code
