"""What makes a package a bundle of MONAI: `configs/metadata.json` and `configs/inference.json`.

Departure from MONAI's specification: there is no `models/model.pt`. That file is a pickle, and Osler writes none; the network
is `osler.exchange.network.BottleneckNetwork`, which builds itself from the safetensors beside it. So MONAI's ConfigParser,
`create_workflow`, `run`, `verify_metadata` and `verify_net_in_out` open a bundle, and `monai.bundle.load`, which reads that
file and no other, does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from osler import __version__
from osler.archive.images import sees_grey
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.pipeline import Pipeline
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

METADATA, INFERENCE = "configs/metadata.json", "configs/inference.json"
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_ROOM = "osler.exchange.network"


def bundle_files(name: str, pipeline: Pipeline, encoder: Path) -> dict[str, bytes]:
    """Return the files that MONAI's tools look for, by their path.

    Args:
        name: Name of the model.
        pipeline: The model.
        encoder: Folder of its encoder.

    Raises:
        OslerError: `part-missing` where MONAI, whose version a bundle states, is not installed.
    """
    side = open_encoder(encoder).preprocess.size
    return {
        METADATA: _json(metadata(name, pipeline, side)),
        INFERENCE: _json(inference(grey=sees_grey(pipeline.notes))),
    }


def metadata(name: str, pipeline: Pipeline, side: int) -> dict[str, Any]:
    """Return the description of a bundle, in the words of MONAI's schema of 2024-07-25.

    Args:
        name: Name of the model.
        pipeline: The model.
        side: Side in pixels that its encoder brings images to; any other is taken too.
    """
    grey = sees_grey(pipeline.notes)
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": pipeline.bank.modality,
        "num_channels": 1 if grey else 3,
        "spatial_shape": [side, side],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {"0": "image"} if grey else {"0": "red", "1": "green", "2": "blue"},
    }
    pred = {
        "type": "probabilities",
        "format": "classes",
        "num_channels": len(pipeline.classes),
        "spatial_shape": [1],
        "dtype": "float64",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {str(place): one for place, one in enumerate(pipeline.classes)},
    }
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "as exported"},
        "monai_version": _installed("monai"),
        "pytorch_version": _installed("torch"),
        "numpy_version": _installed("numpy"),
        "required_packages_version": {"osler": __version__, "safetensors": _installed("safetensors")},
        "name": name,
        "task": f"Tell {' from '.join(pipeline.classes)} by concepts that a reader can check",
        "description": "A concept bottleneck of Osler: images to concepts to findings. The output are logits before "
        "calibration. For research use; not a medical device.",
        "authors": "See docs/README.md",
        "copyright": "See docs/licences.md",
        "intended_use": "Research only; not a medical device.",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def inference(*, grey: bool) -> dict[str, Any]:
    """Return what `python -m monai.bundle run` does: the DICOM files of a folder to a table of logits.

    Args:
        grey: Whether the model was fitted on grey images.
    """
    return {
        "imports": ["$import pathlib"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "cpu",
        "datalist": "$[{'image': str(p), 'name': str(p)} for p in sorted(pathlib.Path(@dataset_dir).iterdir())]",
        "network_def": {
            "_target_": f"{_ROOM}.BottleneckNetwork",
            "folder": "$@bundle_root + '/models'",
            "device": "@device",
        },
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": f"{_ROOM}.ReadDicomd", "keys": ["image"], "grey": grey}],
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "table": {
            "_target_": f"{_ROOM}.LogitTable",
            "loader": "@dataloader",
            "network": "@network_def",
            "inferer": "@inferer",
            "path": "$@output_dir + '/logits.csv'",
        },
        "initialize": [],
        "run": ["$@table.run()"],
        "finalize": [],
    }


def _installed(distribution: str) -> str:
    try:
        return version(distribution).partition("+")[0]
    except ImportError as error:
        raise OslerError(
            Code.PART_MISSING,
            f"{distribution} is not installed, whose version a bundle states.",
            "Install it with `pip install 'osler[monai]'`.",
        ) from error


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
