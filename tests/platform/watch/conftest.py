"""A hospital whose PACS is watched: an empty workspace with a small model, and keys outside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from osler.bottleneck.pipeline import Pipeline
from osler.deid.key import load_key
from osler.watch.sealing import Seal
from osler.watch.settings import WatchSettings, load_watch
from osler.workspace import Workspace

from .services import Orthanc, Watcher


@dataclass(frozen=True)
class Clinic:
    """A workspace with its keys, and what runs around it."""

    root: Path
    workspace: Workspace

    @property
    def seal(self) -> Seal:
        return Seal(load_key(self.root / "keys" / "deid.key", create=True))

    def settle(self, orthanc: Orthanc | None = None, **parts: Any) -> WatchSettings:
        """Write the settings and read them back."""
        follow = {"feed": "orthanc", "address": orthanc.rest if orthanc else "http://127.0.0.1:9", "begin": "beginning"}
        values: dict[str, Any] = {
            "follow": follow | {"every_s": 0.2},
            "sites": [{"name": "lakeside", "default": True}],
            "intake": {
                "contract": "any-image",
                "workers": 1,
                "burned_in": "unjudged",
                "key_file": str(self.root / "keys" / "deid.key"),
                "crosswalk": str(self.root / "crosswalk" / "file"),
                "crosswalk_key": str(self.root / "keys" / "crosswalk.key"),
            },
            "limits": {"settle_s": 0.5, "pause_s": 0.2, "longest_pause_s": 1.0, "least_free_gib": 0.0},
        }
        for name, value in parts.items():
            held = values.get(name)
            values[name] = held | value if isinstance(held, dict) else value
        (self.workspace.root / "watch.yaml").write_text(yaml.safe_dump(values))
        return load_watch(self.workspace)

    def watcher(self, **environment: str) -> Watcher:
        return Watcher(self.workspace.root, self.root / "watch.log", environment)


@pytest.fixture
def clinic(tmp_path: Path, save_model: Callable[..., Pipeline]) -> Clinic:
    """Return an empty workspace with a model."""
    root = tmp_path / "clinic"
    workspace = Workspace.open(root / "workspace", create=True)
    save_model(workspace)
    return Clinic(root, workspace)


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """Return an Orthanc, running."""
    service = Orthanc(tmp_path / "orthanc")
    service.start()
    yield service
    service.kill()
