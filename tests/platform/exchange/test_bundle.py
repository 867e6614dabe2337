"""A package that MONAI's own tools open, and what they compute is what Osler computes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, create_workflow, verify_metadata, verify_net_in_out
from pydicom.dataset import Dataset

from osler.bottleneck.artefact import find_encoder, load_bottleneck
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.pipeline import Pipeline
from osler.dicom.pixels import read_image
from osler.exchange.bundle import INFERENCE, METADATA
from osler.exchange.service import export_model, import_model
from osler.workspace import Workspace
from osler_contracts.errors import OslerError

# MONAI fetches its schema from the network; this is what the specification of bundles says in words (docs, "MONAI Bundle
# Specification", metadata.json File; `required_packages_version` had another name then).
TENSOR = {
    "type": "object",
    "required": [
        "type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def",
    ],
    "properties": {
        "type": {"enum": ["image", "series", "tuples", "probabilities"]},
        "format": {"enum": ["magnitude", "hounsfield", "kspace", "raw", "labels", "classes", "segmentation", "points",
                            "normals", "indices", "sequence", "latent", "gradient"]},
        "modality": {"type": "string"},
        "num_channels": {"type": "integer", "minimum": 1},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "dtype": {"enum": ["float16", "float32", "float64", "int32", "int64", "uint8"]},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}  # fmt: skip
TENSORS = {"type": "object", "minProperties": 1, "additionalProperties": TENSOR}
WORDS = ("version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors", "copyright")
SCHEMA = {
    "type": "object",
    "required": [*WORDS, "required_packages_version", "network_data_format"],
    "properties": {
        **{name: {"type": "string", "minLength": 1} for name in WORDS},
        "required_packages_version": {"type": "object"},
        "changelog": {"type": "object", "additionalProperties": {"type": "string"}},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": TENSORS, "outputs": TENSORS},
        },
    },
}


@pytest.fixture
def bundle(workspace: Workspace, make_radiograph: Callable[..., Dataset], tmp_path: Path) -> Path:
    """Return an unpacked bundle with two radiographs to read."""
    export_model(workspace, "chest", tmp_path / "chest.zip", actor="a", bundle=True)
    with zipfile.ZipFile(tmp_path / "chest.zip") as package:
        package.extractall(tmp_path / "unpacked")
    folder = tmp_path / "unpacked" / "chest"
    (folder / "input").mkdir()
    for number in range(2):
        make_radiograph(number).save_as(folder / "input" / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def expected(workspace: Workspace, bundle: Path) -> dict[str, list[float]]:
    """Return Osler's own logits of the two by file name."""
    pipeline = opened(workspace.models / "chest")
    images = [np.asarray(read_image(bundle / "input" / f"{k}.dcm").values, np.float32) for k in range(2)]
    logits = pipeline.predict(images).logits
    return {f"{k}.dcm": logits[k].tolist() for k in range(2)}


def opened(folder: Path) -> Pipeline:
    encoder = open_encoder(find_encoder(load_bottleneck(folder).encoder_digest, folder))
    return load_bottleneck(folder, encoder)


def table(bundle: Path) -> dict[str, list[float]]:
    with (bundle / "eval" / "logits.csv").open(newline="") as stream:
        head, *rows = csv.reader(stream)
    assert head == ["image", "heart_failure", "pneumonia", "normal"]
    return {name: [float(one) for one in values] for name, *values in rows}


def assert_close(found: dict[str, list[float]], expected: dict[str, list[float]]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)


def test_the_network_of_the_config_gives_the_same_logits(
    bundle: Path, workspace: Workspace, images: list[np.ndarray]
) -> None:
    parser = ConfigParser()
    parser.read_config(bundle / INFERENCE)
    parser["bundle_root"] = str(bundle)
    network = parser.get_parsed_content("network_def")
    assert isinstance(network, torch.nn.Module)
    own = opened(workspace.models / "chest")
    for image in images:
        tensor = torch.from_numpy(image if image.ndim == 2 else image.transpose(2, 0, 1)).reshape(
            1, -1, *image.shape[:2]
        )
        logits = network(tensor)
        assert logits.dtype == torch.float64
        np.testing.assert_allclose(logits.numpy(), own.predict([image]).logits, rtol=0, atol=1e-6)
    assert network(torch.zeros(0, 1, 8, 8)).shape == (0, 3)


def test_a_workflow_of_monai_runs_it_from_files_to_a_table(bundle: Path, expected: dict[str, list[float]]) -> None:
    workflow = create_workflow(
        config_file=str(bundle / INFERENCE), meta_file=str(bundle / METADATA), bundle_root=str(bundle)
    )
    workflow.run()
    workflow.finalize()
    assert_close(table(bundle), expected)


def test_the_description_is_what_the_specification_asks_for_and_what_the_network_does(bundle: Path) -> None:
    schema = bundle.parent / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    verify_metadata(meta_file=str(bundle / METADATA), filepath=str(schema))
    spoiled = json.loads((bundle / METADATA).read_text())
    spoiled["network_data_format"]["inputs"]["image"]["format"] = "RGB"
    (bundle.parent / "spoiled.json").write_text(json.dumps(spoiled))
    with pytest.raises(ValueError, match="is not one of"):
        verify_metadata(meta_file=str(bundle.parent / "spoiled.json"), filepath=str(schema))
    checked = {"config_file": str(bundle / INFERENCE), "meta_file": str(bundle / METADATA), "device": "cpu"}
    verify_net_in_out("network_def", bundle_root=str(bundle), **checked)


def test_a_bundle_holds_nothing_that_runs_when_it_is_read(bundle: Path) -> None:
    assert {path.suffix for path in bundle.rglob("*") if path.is_file()} == {
        ".json", ".md", ".safetensors", ".txt", ".dcm",
    }  # fmt: skip
    (bundle / "models" / "bank.json").write_bytes(b"{}")
    parser = ConfigParser()
    parser.read_config(bundle / INFERENCE)
    parser["bundle_root"] = str(bundle)
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("network_def")
    assert isinstance(caught.value.__cause__, OslerError)
    assert "bank.json" in caught.value.__cause__.message


def test_a_bundle_comes_back_as_the_model_that_it_was(
    bundle: Path, workspace: Workspace, images: list[np.ndarray], tmp_path: Path
) -> None:
    away = Workspace.open(tmp_path / "away", create=True)
    back = import_model(away, tmp_path / "chest.zip", actor="b").folder
    assert not (back / "configs").exists()
    np.testing.assert_array_equal(
        opened(back).predict(images).logits, opened(workspace.models / "chest").predict(images).logits
    )


@pytest.mark.slow
def test_the_command_line_of_monai_runs_it(bundle: Path, expected: dict[str, list[float]]) -> None:
    files = ["--config_file", INFERENCE, "--meta_file", METADATA, "--bundle_root", str(bundle)]
    command = [sys.executable, "-m", "monai.bundle", "run", *files]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_close(table(bundle), expected)
