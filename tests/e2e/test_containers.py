"""What docker-compose.yml brings up, started without containers from the same files: a study that is sent comes back as a report."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread

from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.workspace import Workspace
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan

from ..platform.conftest import encoder, make_pipeline, resnet_folder  # noqa: TID252 - tests are no package
from .containers import PATIENCE_S, SERVICES, Containers, run_first_block

__all__ = ["encoder", "make_pipeline", "resnet_folder"]

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(1200)]
WORDS = "correct horse battery staple"
PAGE = {"Accept": "text/html"}


@pytest.fixture
def containers(
    tmp_path: Path, make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, resnet_folder: Path
) -> Iterator[Containers]:
    """Return the services, running; the workspace had a small model before, so that none is fitted."""
    run_first_block("containers.md", tmp_path)
    found = Containers(tmp_path)
    workspace = Workspace.open(Path(found.mapped("/workspace", "seed")), create=True)
    save_bottleneck(make_pipeline(encoder.width, encoder=encoder), workspace.models / "random", card="# Random\n")
    shutil.copytree(resnet_folder, workspace.models / "random" / "encoder")
    with found.up():
        yield found


class Edge:
    """A visitor from outside: through the edge alone, trusting its certificate."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._session = requests.Session()
        self._session.trust_env = False  # else REQUESTS_CA_BUNDLE goes before what is trusted here
        self._session.verify = str(containers.root / "secrets" / "tls.crt")

    def get(self, port: int, path: str, **options: Any) -> requests.Response:
        address = f"https://localhost:{self._containers.ports[port]}{path}"
        return self._session.get(address, timeout=60, allow_redirects=False, **options)

    def post(self, port: int, path: str, **options: Any) -> requests.Response:
        address = f"https://localhost:{self._containers.ports[port]}{path}"
        return self._session.post(address, timeout=60, allow_redirects=False, **options)

    def reports(self, login: tuple[str, str]) -> dict[str, int]:
        """Return how many SRs the PACS holds of each study, by QIDO-RS."""
        rows = self.get(8445, "/dicom-web/series?Modality=SR&includefield=StudyInstanceUID", auth=login).json()
        studies = [row["0020000D"]["Value"][0] for row in rows]
        return {study: studies.count(study) for study in studies}


def _send_by_dimse(containers: Containers, folder: Path) -> str:
    """Send a phantom study as a modality does; return its UID."""
    plan = mixed_plan(1, ("pneumonia",), 2000)
    made = generate_site("hospital_a", plan, folder, size=256, workers=0, seed=2000)
    for path in made.folder.rglob("*.dcm"):
        film = dcmread(path)
        film.decompress()  # storescu proposes no other transfer syntax by itself
        film.save_as(path)
    port = str(containers.ports[4242])
    subprocess.run(
        ["storescu", "-aec", "OSLER", "+sd", "+r", "127.0.0.1", port, str(made.folder)], check=True, timeout=60
    )
    return made.truth.read_text().splitlines()[1].split(",")[1]


def _until_reported(edge: Edge, containers: Containers, login: tuple[str, str], studies: int) -> dict[str, int]:
    until = time.monotonic() + PATIENCE_S
    while len(found := edge.reports(login)) < studies:
        assert time.monotonic() < until, containers.log("watch")
        time.sleep(0.5)
    return found


def test_a_study_that_is_sent_comes_back_as_one_report(containers: Containers, tmp_path: Path) -> None:
    edge, login = Edge(containers), ("osler", containers.secret("orthanc"))
    sent = _send_by_dimse(containers, tmp_path / "study")
    reports = _until_reported(edge, containers, login, 2)
    assert sent in reports
    assert set(reports.values()) == {1}, "one of the seed, one of the modality, each with one report"
    assert edge.get(8445, "/dicom-web/studies").status_code == 401
    _ask_the_api(containers, edge)
    _open_the_dashboard(containers, edge)
    _track_a_run(containers, edge)
    _look_into_the_server(containers)
    left = containers.execute("dashboard", "python", "-c", "open('/etc/osler/left', 'w')")
    assert "Read-only file system" in left.stderr
    assert "0 of" in containers.seed(), "a second start changes nothing"
    assert edge.reports(login) == reports
    assert all(containers.healthy(name) for name in SERVICES if name != "seed")
    done = containers.execute("api", "osler", "audit", "verify", "--workspace", "/workspace")
    assert done.returncode == 0, done.stdout
    for name in ("watch", "api"):
        assert containers.stop(name) == 0, containers.log(name)


def _ask_the_api(containers: Containers, edge: Edge) -> None:
    words = ["token", "issue", "worklist", "--program", "--role", "clinician", "--workspace", "/workspace", "--json"]
    done = containers.execute("api", "osler", "api", *words)
    assert done.returncode == 0, done.stderr
    token = {"Authorization": f"Bearer {json.loads(done.stdout)['token']}"}
    assert edge.get(8443, "/v1/studies").status_code == 401
    listed = edge.get(8443, "/v1/studies", headers=token).json()
    assert listed["total"] == 2
    study = listed["items"][0]["uid"]
    answer = edge.get(8443, f"/v1/studies/{study}/explanation", headers=token)
    assert answer.status_code == 200, answer.text
    assert study in answer.text
    assert answer.json()["schema"].startswith("osler-explanation/")


def _open_the_dashboard(containers: Containers, edge: Edge) -> None:
    Path(containers.mapped("/tmp/password", "dashboard")).write_text(WORDS)
    add = [
        "accounts",
        "add",
        "Ada",
        "--role",
        "clinician",
        "--password-file",
        "/tmp/password",
        "--workspace",
        "/workspace",
    ]
    done = containers.execute("dashboard", "osler", *add)
    assert done.returncode == 0, done.stderr
    assert edge.get(8443, "/", headers=PAGE).headers["location"].startswith("/sign-in")
    signed = edge.post(8443, "/sign-in", data={"name": "Ada", "password": WORDS})
    assert signed.status_code == 303
    assert "Secure" in signed.headers["set-cookie"]
    page = edge.get(8443, "/", headers=PAGE)
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


def _track_a_run(containers: Containers, edge: Edge) -> None:
    """Track a run as Osler's services do, and fetch what it left through the server."""
    script = (
        "from pathlib import Path\nfrom osler.tracking import open_tracker\nfrom osler.workspace import Workspace\n"
        "with open_tracker(Workspace.open(Path('/workspace'))).run('one', 'first') as run: run.log_json([1], 'a.json')\n"
        "print(run.id)"
    )
    done = containers.execute("dashboard", *SERVICES["dashboard"]["entrypoint"], "python", "-c", script)
    assert done.returncode == 0, done.stderr
    path = f"/get-artifact?run_uuid={done.stdout.split()[-1]}&path=a.json"
    assert edge.get(8444, path).status_code == 401
    assert edge.get(8444, path, auth=("osler", containers.secret("mlflow"))).json() == [1]
    assert list(Path(containers.mapped("/data", "mlflow")).rglob("a.json")), "the server keeps it, in its own volume"


def _look_into_the_server(containers: Containers) -> None:
    """Each service's records are in its own database, which the other cannot open."""
    osler, mlflow = containers.secret("osler_database"), containers.secret("mlflow_database")
    assert containers.sql("osler", "osler", osler, "--command=SELECT count(*) FROM studies") == "2"
    assert containers.sql("mlflow", "mlflow", mlflow, "--command=SELECT status FROM runs") == "FINISHED"
    with pytest.raises(AssertionError, match="permission denied"):
        containers.sql("osler", "mlflow", mlflow, "--command=SELECT 1")
