"""`osler encoder`: a checkpoint of one's own becomes an encoder by one command, and nothing unsafe is read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.importing import open_clip_config, read_checkpoint
from osler.bottleneck.encoders.open_clip import build_model
from osler.cli.main import main
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

NET = ["--library", "timm", "--architecture", "resnet18", "--layer", "layer4", "--argument", "num_classes=0"]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=0).state_dict()


def run(*arguments: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    code = main(["encoder", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out.strip() else {}, err


def test_the_shipped_ones_are_listed(capsys: pytest.CaptureFixture[str]):
    code, record, _ = run("list", capsys=capsys)
    assert code == 0
    assert {"phantom_clip", "imagenet_lite0", "white_cell_morphometry"} <= {one["name"] for one in record["encoders"]}


@pytest.mark.parametrize("form", ["safetensors", "torch", "wrapped"])
def test_a_checkpoint_becomes_an_encoder(
    form: str, state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pth")
    more: list[str] = []
    if form == "safetensors":
        save_file(state, path)
    elif form == "torch":
        torch.save(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": one for name, one in state.items()}}, path)
        more = ["--strip", "module."]
    folder = tmp_path / "encoder"
    code, record, _ = run("import", path, *NET, *more, "--size", 64, "--out", folder, capsys=capsys)
    assert code == 0
    encoder = open_encoder(folder)
    assert record["digest"] == encoder.digest
    assert encoder.width == 512
    model = timm.create_model("resnet18", num_classes=0)
    model.load_state_dict(state)
    image = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    with torch.no_grad():
        expected = model.eval()(encoder.preprocess(image)[None])[0].numpy()
    np.testing.assert_allclose(encoder.encode([image]).pooled[0], expected / np.linalg.norm(expected), atol=2e-5)


def test_an_open_clip_checkpoint_keeps_both_towers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(0)
    path = tmp_path / "clip.pt"
    torch.save(build_model(open_clip_config("ViT-S-32-alt")).half().state_dict(), path)
    code, _, _ = run(
        "import",
        path,
        "--library",
        "open_clip",
        "--architecture",
        "ViT-S-32-alt",
        "--out",
        tmp_path / "clip",
        capsys=capsys,
    )
    assert code == 0
    encoder: Any = open_encoder(tmp_path / "clip")
    assert encoder.encode_text(["a nucleus"]).shape == (1, encoder.width)
    assert encoder.encode([np.full((40, 50), 0.5, np.float32)]).text_space


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trapped"),))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"state_dict": Trap()}, protocol=2))
    with pytest.raises(OslerError) as caught:
        read_checkpoint(tmp_path / "trap.pth")
    assert caught.value.code == Code.MODEL_INVALID
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.pth", *NET], Code.SOURCE_MISSING),
        (["net.pth", *NET, "--sha256", "0" * 64], Code.MODEL_HASH_MISMATCH),
        (["net.pth", *NET, "--strip", "module."], Code.MODEL_INVALID),
        (["net.pth", "--library", "timm", "--architecture", "resnet18"], Code.USAGE),
        (["net.pth", *NET, "--argument", "num_classes"], Code.USAGE),
        (["net.pth", "--library", "timm", "--architecture", "resnet34", "--layer", "layer4"], Code.MODEL_INVALID),
        (["net.pth", "--library", "open_clip", "--architecture", "ViT-B-32"], Code.MODEL_INVALID),
        (["net.pth", "--library", "open_clip", "--architecture", "nothing"], Code.MODEL_INVALID),
        (["text.pth", *NET], Code.MODEL_INVALID),
        (["hub:laion", *NET], Code.USAGE),
        (["hub:nothing", "--library", "open_clip", "--architecture", "ViT-B-32"], Code.PART_MISSING),
    ],
)
def test_what_cannot_be_imported_says_why_and_leaves_nothing(
    arguments: list[str],
    code: Code,
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    torch.save(state, "net.pth")
    Path("text.pth").write_text("not a checkpoint")
    status, _, told = run("import", *arguments, "--out", "encoder", capsys=capsys)
    assert status != 0
    assert code in told
    assert not Path("encoder").exists()
