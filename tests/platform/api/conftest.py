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
from tests.platform.patches import by_hand, masked

from osler.access.roles import Role
from osler.adapt.store import PatchStore
from osler.api.app import create
from osler.api.settings import Settings
from osler.api.tokens import TokenFile
from osler.bottleneck.pipeline import Pipeline
from osler.ingest import ingest
from osler.workspace import Workspace

STUDIES = 6


@pytest.fixture(scope="session")
def built_clinic(
    tmp_path_factory: pytest.TempPathFactory,
    make_radiograph: Callable[..., Dataset],
    save_model: Callable[..., Pipeline],
) -> Path:
    """Return the root of the workspace that tests copy: six studies of site c, a model `random`, two proposed patches."""
    root = tmp_path_factory.mktemp("clinic")
    (root / "files").mkdir()
    for number in range(STUDIES):
        make_radiograph(number).save_as(root / "files" / f"{number}.dcm", enforce_file_format=True)
    workspace = Workspace.open(root / "workspace", create=True)
    summary = ingest(root / "files", site="c", workspace=workspace, key=bytes(32), workers=0, today=date(2024, 5, 1))
    assert summary.accepted == STUDIES
    pipeline = save_model(workspace)
    for concept in ("concept_1", "concept_2"):
        PatchStore(workspace.patches).save(by_hand(pipeline, masked(pipeline, concept), site="c"))
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
def clinic(built_clinic: Path, tmp_path: Path) -> Path:
    """Return the root of a copy of the clinic for one test, to change."""
    return Path(shutil.copytree(built_clinic, tmp_path / "clinic"))


@pytest.fixture
def make_api(built_clinic: Path, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Return a maker of APIs, each over a clinic of its own; arguments are settings."""
    opened: list[TestClient] = []

    def make(**settings: Any) -> Api:
        root = tmp_path / f"clinic{len(opened)}"
        shutil.copytree(built_clinic, root)
        return _open(root, opened, **settings)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared_api(built_clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Return an API over a clinic that a module's tests share."""
    opened: list[TestClient] = []
    root = tmp_path_factory.mktemp("shared") / "clinic"
    shutil.copytree(built_clinic, root)
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
