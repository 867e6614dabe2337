"""The native path of docs/deployment.md, its blocks run to the letter and in order, from an empty environment to a restored one.

`CHANGES` is all that is changed in them. Real are: the virtual environment, PostgreSQL, Orthanc with Debian's own settings, storescu, and
each command and service of Osler, started from the units as they stand there. Not installed anew are the libraries, several GB: the new
environment looks them up in the one that runs this test, and Osler with them, so that it is the built wheel where that one is installed. Users are not
made, and systemd does not run: `systemctl.py` starts what the units say.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread

from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.exchange.service import export_model
from osler.workspace import Workspace
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan

from ..platform.conftest import encoder, make_pipeline, resnet_folder  # noqa: TID252 - tests are no package
from ..platform.database.postgres import PostgresServer, free_port  # noqa: TID252

__all__ = ["encoder", "make_pipeline", "resnet_folder"]

pytestmark = [pytest.mark.system, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
WORDS = "correct horse battery staple"
PIP = re.compile(r"/opt/osler/bin/pip install --constraint constraints\.txt '\.\[([a-z,]+)\]'")

# What is changed in the blocks: folders come to lie in the test's own, ports are free ones, and
FOLDERS = (
    "/etc/orthanc",
    "/etc/osler",
    "/etc/systemd/system",
    "/opt/osler",
    "/srv/osler",
    "/usr/local/sbin",
    "/var/backups/osler",
    "/var/cache/osler",
    "/var/lib/orthanc/db-v6",
    "/var/lib/osler",
)
PORTS = (4242, 5432, 8042, 8501, 8600)
CHANGES = {
    " -o osler": "",  # there is no user of this name
    " -g osler": "",
    " -g orthanc": "",
    "runuser -u osler -- ": "",
    "runuser -u postgres -- ": "",  # psql finds its server and administrator in the environment
    "--role administrator": "--role administrator --password-file /etc/osler/password.txt",  # nobody is at the terminal
    "--role clinician --workspace": "--role clinician --password-file /etc/osler/password.txt --workspace",
    "settle_s: 60": "settle_s: 1",
    "sleep 5": "sleep 0.5",
}
PROGRAMS = {  # what an administrator has and a test has not
    "apt-get": '[ "$1" = update ] || for word; do case $word in install|-*) ;; *) dpkg-query --show "$word" >&2; esac; done',
    "useradd": 'useradd_words="$*"; [ "${useradd_words##* }" = osler ]',
}


def blocks() -> list[str]:
    """Return the blocks for a shell of the native path."""
    section = PAGE.split("\n## The native path\n")[1].split("\n## ")[0]
    return [text for _, text in re.findall(r"^```(bash)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)]


@dataclass
class Machine:
    """A folder in which the path is gone."""

    root: Path
    postgres: PostgresServer
    ports: dict[int, int] = field(default_factory=lambda: {port: free_port() for port in PORTS})

    def changed(self, text: str) -> str:
        """Return a text of the page as it is run here."""
        text = PIP.sub(lambda found: f"layer {found[1]}", text)
        for old, new in CHANGES.items():
            text = text.replace(old, new)
        text = re.sub(rf"(?<![\w.])({'|'.join(FOLDERS)})(?![\w])", lambda found: f"{self.root}{found[1]}", text)
        return re.sub(rf"\b({'|'.join(map(str, PORTS))})\b", lambda found: str(self.ports[int(found[1])]), text)

    def run(self, text: str) -> str:
        """Run a block in an environment that holds nothing but what a shell of root has; return what it printed."""
        given = {
            "PATH": f"{self.root}/usr/local/sbin:{self.root}/programs:{os.defpath}:/usr/sbin",
            "HOME": str(self.root),
        }
        given |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.postgres.port), "PGUSER": "postgres"}
        given |= {"PGPASSWORD": self.postgres.password, "PGDATABASE": "postgres", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.changed(text)],
            cwd=self.root / "source",
            env=given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        logs = "".join(f"\n--- {log.name}\n{log.read_text()[-1500:]}" for log in self.root.glob("osler*.log"))
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}\n{logs}"
        return done.stdout

    def prepare(self) -> None:
        """Put there what is on the machine before: Debian's settings of Orthanc, and the programs of an administrator."""
        (self.root / "source").mkdir(parents=True)
        (self.root / "etc" / "osler").mkdir(parents=True)
        (self.root / "etc" / "osler" / "password.txt").write_text(f"{WORDS}\n")
        (self.root / "var/lib/orthanc/db-v6").mkdir(parents=True)
        (self.root / "etc/systemd/system").mkdir(parents=True)
        shutil.copytree("/etc/orthanc", self.root / "etc" / "orthanc")
        for file in (self.root / "etc" / "orthanc").iterdir():
            file.write_text(self.changed(file.read_text()))
        unit = Path("/usr/lib/systemd/system/orthanc.service").read_text()
        unit = self.changed(unit).replace("--logdir=/var/log/orthanc ", "")
        (self.root / "etc/systemd/system/orthanc.service").write_text(unit)
        packages = sysconfig.get_path("purelib")
        layer = f"""
for extra in $(echo "$1" | tr , ' '); do case ' {" ".join(metadata("osler").get_all("Provides-Extra") or ())} ' in
*" $extra "*) ;; *) echo "there is no extra $extra" >&2; exit 1; esac; done
echo "import site; site.addsitedir('{packages}')" > "$(echo {self.root}/opt/osler/lib/python*/site-packages)/layer.pth"
printf '#!%s\\nimport sys\\nfrom osler.cli.main import main\\nif __name__ == "__main__":\\n    sys.exit(main())\\n' {self.root}/opt/osler/bin/python > {self.root}/opt/osler/bin/osler
chmod 755 {self.root}/opt/osler/bin/osler"""
        systemctl = f'exec {sys.executable} {Path(__file__).with_name("systemctl.py")} {self.root} "$@"'
        (self.root / "programs").mkdir()
        for name, text in (PROGRAMS | {"layer": layer, "systemctl": systemctl}).items():
            program = self.root / "programs" / name
            program.write_text(f"#!/bin/sh\nset -e\n{text}\n")
            program.chmod(0o755)

    def stop(self) -> None:
        """End what runs."""
        for noted in self.root.glob("*.pid"):
            with suppress(ProcessLookupError):
                os.killpg(int(noted.read_text()), signal.SIGKILL)

    def ask(self, path: str) -> Any:
        """Ask the API as soon as it answers."""
        token = (self.root / "var/lib/osler/worklist.token").read_text().strip()
        until = time.monotonic() + 120
        while True:
            with suppress(requests.ConnectionError):
                address = f"http://127.0.0.1:{self.ports[8600]}{path}"
                found = requests.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
                assert found.ok, found.text
                return found.json()
            assert time.monotonic() < until, (self.root / "osler-api.service.log").read_text()
            time.sleep(0.2)

    def reports(self) -> list[str]:
        """Return the SOP Instance UIDs of the SRs in Orthanc."""
        login = ("osler", (self.root / "etc/osler/orthanc.password").read_text().strip())
        address = f"http://127.0.0.1:{self.ports[8042]}/dicom-web/instances?Modality=SR"
        return [one["00080018"]["Value"][0] for one in requests.get(address, auth=login, timeout=60).json()]


@pytest.mark.parametrize("name", ["watch", "api", "dashboard", "backup"])
def test_systemd_finds_the_units_sound_and_closed(tmp_path: Path, name: str) -> None:
    for file, text in re.findall(
        r"^cat > /etc/systemd/system/(\S+) <<'UNIT'\n(.*?)^UNIT$", PAGE, re.MULTILINE | re.DOTALL
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text.replace("/opt/osler/bin/osler", sys.executable))
    unit, given = str(tmp_path / f"osler-{name}.service"), {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    for words in (["verify", "--man=no", unit], ["security", "--offline=true", "--threshold=20", unit]):
        done = subprocess.run(
            ["systemd-analyze", *words], env=given, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"osler-{name}.service:" not in done.stderr, done.stderr


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Return a machine on which nothing is installed but Debian's packages."""
    folder = Path(tempfile.mkdtemp(prefix="osler-native-"))
    server = Path(tempfile.mkdtemp(prefix="osler-postgres-"))  # as root it runs under another name, and must enter
    found = Machine(folder, PostgresServer(server, user="postgres", password="of the administrator"))
    found.ports[5432] = found.postgres.port
    try:
        found.postgres.make()
        found.postgres.start()
        found.prepare()
        yield found
    finally:
        found.stop()
        if not found.postgres.stopped:
            found.postgres.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server, ignore_errors=True)


def _bring(machine: Machine, pipeline: Pipeline, encoder_folder: Path) -> None:
    """Put beside the source what a site brings: an exported model with its digest, and a study."""
    elsewhere = Workspace.open(machine.root / "elsewhere", create=True)
    save_bottleneck(pipeline, elsewhere.models / "chest", card="# Random weights: says nothing about patients\n")
    shutil.copytree(encoder_folder, elsewhere.models / "chest" / "encoder")
    source = machine.root / "source"
    package = export_model(elsewhere, "chest", source / "chest.zip", actor="somebody elsewhere")
    (source / "chest.zip.sha256").write_text(package.digest)
    shutil.rmtree(elsewhere.root)
    made = generate_site(
        "hospital_a", mixed_plan(1, ("pneumonia",), 2000), machine.root / "p", size=256, workers=0, seed=2000
    )
    shutil.move(made.folder, source / "study")
    for image in (source / "study").rglob("*.dcm"):  # storescu offers to send nothing that is compressed
        dataset = dcmread(image)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress(generate_instance_uid=False)
            dataset.save_as(image)


def _answers(machine: Machine) -> list[Any]:
    """Return the list of studies, each explanation, and the reports in Orthanc."""
    found = machine.ask("/v1/studies")
    explained = [machine.ask(f"/v1/studies/{one['uid']}/explanation") for one in found["items"]]
    return [found, explained, machine.reports()]


def _until_listening(port: int) -> None:
    until = time.monotonic() + 120
    while True:
        with suppress(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}", timeout=60)
            return
        assert time.monotonic() < until
        time.sleep(0.2)


def test_the_page_leads_from_an_empty_environment_to_explained_studies_and_back_from_a_copy(
    machine: Machine, make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, resnet_folder: Path
) -> None:
    _bring(machine, make_pipeline(encoder.width, encoder=encoder), resnet_folder)
    steps, said = blocks(), []
    assert sum("osler backup restore" in step for step in steps) == 1
    before: list[Any] = []
    for step in steps:
        if "osler backup restore" in step:
            before = _answers(machine)
        if "_stcore/health" in step:
            machine.ask("/health/live")  # a person would not be faster than the services
            _until_listening(machine.ports[8501])
        said.append(machine.run(step))
        print(said[-1])
    assert _answers(machine) == before
    assert before[0]["total"] == 1
    assert len(before[-1]) == 1, "one study, one report, before and after"
    printed = "\n".join(said)
    assert "confirmed" in printed
    for secret in ("database.password", "orthanc.password"):
        assert (machine.root / "etc" / "osler" / secret).read_text().strip() not in printed
    for private in ("crosswalk/file", "keys/crosswalk.key", "keys/deid.key", "worklist.token"):
        path = machine.root / "var" / "lib" / "osler" / private
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, private
