"""A small clinic behind the API: six radiographs, a model, a site patch, and a token for each role."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydicom.dataset import Dataset
from starlette.testclient import TestClient

from osler.access.roles import Role
from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.adapt.store import PatchStore
from osler.api.app import create
from osler.api.settings import Settings
from osler.api.tokens import TokenFile
from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.explain.service import StudyExplainer
from osler.ingest import ingest
from osler.workspace import Workspace

STUDIES = 6


@pytest.fixture(scope="session")
def clinic(
    tmp_path_factory: pytest.TempPathFactory,
    make_radiograph: Callable[..., Dataset],
    make_pipeline: Callable[..., Pipeline],
    encoder: OpenClipEncoder,
    resnet_folder: Path,
) -> Path:
    """Return the root of a workspace with six studies of site c, a model `random` and two proposed patches."""
    root = tmp_path_factory.mktemp("clinic")
    (root / "files").mkdir()
    for number in range(STUDIES):
        make_radiograph(number).save_as(root / "files" / f"{number}.dcm", enforce_file_format=True)
    workspace = Workspace.open(root / "workspace", create=True)
    summary = ingest(root / "files", site="c", workspace=workspace, key=bytes(32), workers=0, today=date(2024, 5, 1))
    assert summary.accepted == STUDIES
    save_bottleneck(make_pipeline(encoder.width, encoder=encoder), workspace.models / "random", card="# Random\n")
    shutil.copytree(resnet_folder, workspace.models / "random" / "encoder")
    pipeline = StudyExplainer(workspace, "random").pipeline
    for concept in (1, 2):
        delta = ConceptDelta(float(pipeline.neutral[concept]), mask=True, sentence=f"masked *concept {concept}*")
        patch = SitePatch(
            "c",
            pipeline.digest,
            pipeline.bank.digest,
            "by hand",
            "2024-05-01",
            "a reason",
            deltas={f"concept_{concept}": delta},
        )
        PatchStore(workspace.patches).save(patch)
    return workspace.root


@dataclass
class Api:
    """The API of a clinic.

    Attributes:
        app: The application.
        workspace: The workspace behind it.
        client: Asks it.
        tokens: A token for each role, and one for `other`, another clinician.
    """

    app: FastAPI
    workspace: Workspace
    client: TestClient
    tokens: dict[str, str]

    def ask(self, method: str, address: str, who: str = Role.CLINICIAN, **more: Any) -> httpx.Response:
        """Send a request with the token of a role."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}", **more.pop("headers", {})}
        found: httpx.Response = self.client.request(method, address, headers=headers, **more)
        return found

    def get(self, address: str, who: str = Role.CLINICIAN, **more: Any) -> Any:
        """Return the body of a good answer."""
        answer = self.ask("GET", address, who, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def uids(self) -> list[str]:
        """UIDs of the studies."""
        return [one["uid"] for one in self.get("/v1/studies")["items"]]


@pytest.fixture
def make_api(clinic: Path, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Return a maker of APIs, each over a clinic of its own; arguments are settings."""
    opened: list[TestClient] = []

    def make(**settings: Any) -> Api:
        root = tmp_path / f"clinic{len(opened)}"
        shutil.copytree(clinic, root)
        return _open(root, opened, **settings)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared_api(clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Return an API over a clinic that a module's tests share."""
    opened: list[TestClient] = []
    root = tmp_path_factory.mktemp("shared") / "clinic"
    shutil.copytree(clinic, root)
    yield _open(root, opened)
    opened[0].__exit__(None, None, None)


def _open(root: Path, opened: list[TestClient], **settings: Any) -> Api:
    workspace = Workspace.open(root)
    app = create(Settings(root, warm=False, **settings))
    file = TokenFile(workspace)
    names = {**{str(role): role for role in Role}, "other": Role.CLINICIAN}
    tokens = {name: file.issue(f"the {name}", (role,), actor="test", program=True)[0] for name, role in names.items()}
    client = TestClient(app, raise_server_exceptions=False)
    client.__enter__()
    opened.append(client)
    return Api(app, workspace, client, tokens)
