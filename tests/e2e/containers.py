"""The services of docker-compose.yml as processes of this machine, from the very files that the containers would be given.

Command, environment, health check, order and mounts come from the compose file. What differs without an engine is one table:
names and ports of containers become free ports of the loopback, their folders become folders of the test. Services of Python
meet a file system that is read-only but for their volumes and tmpfs, as `read_only` asks.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from ..platform.database.postgres import PostgresServer, free_port  # noqa: TID252 - tests are no package

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]
PATIENCE_S = 180.0

# The table. Hosts become the loopback, each port a free one, each folder a folder of the test; /tmp is each service's own.
HOSTS = ("orthanc", "postgres", "mlflow", "api", "dashboard")
PORTS = (4242, 5000, 5432, 8042, 8080, 8443, 8444, 8445, 8501, 8600)
FOLDERS = ("/workspace", "/keys", "/data", "/etc/osler", "/run/secrets", "/var/lib/orthanc/db")
FILES = {
    "/usr/local/lib/osler/from_files.py": str(ROOT / "docker" / "from_files.py"),
    "/usr/local/bin/caddy": "/usr/bin/caddy",
}
WORDS = re.compile(
    rf"(?P<host>(?<![\w.-])(?:{'|'.join(HOSTS)})(?=:\d{{4}}\b))|(?P<all>\b0\.0\.0\.0\b)"
    rf"|(?P<port>(?<![\d.])(?:{'|'.join(map(str, PORTS))})(?!\d))"
    rf"|(?P<file>{'|'.join(FILES)})|(?:(?<=//)|(?<![\w./]))(?P<folder>{'|'.join(FOLDERS)}|/tmp)(?![\w-])"
)

# Read by every Python of a service: writing elsewhere than it may fails, as in an image that is read-only.
GUARD = """
import errno, os, sys

_ALLOWED = tuple(os.environ["WRITABLE"].split(":")) + ("/dev/", "/proc/")
_CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "sqlite3.connect"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

def _read_only(event, arguments):
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
        return
    if event == "open" or event in _CHANGES:
        path = arguments[0]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if event == "os.mkdir" and os.path.isdir(path):
            return  # "exists" goes before "read-only"
        if isinstance(path, (str, os.PathLike)) and not os.path.abspath(path).startswith(_ALLOWED) and ":memory:" not in str(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

sys.addaudithook(_read_only)
"""


class Containers:
    """The services, none of which runs yet.

    Args:
        root: A short-lived folder for all that they keep, with the folder `secrets` in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {port: free_port() for port in PORTS}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # Not in pytest's own folder, which nobody else may enter: as root the server runs under another name.
        folder = Path(tempfile.mkdtemp(prefix="osler-postgres-"))
        user = self._lines("postgres")["POSTGRES_USER"]
        self._postgres = PostgresServer(folder, self.ports[5432], user=user, password=self.secret("postgres"))
        (root / "guard").mkdir()
        (root / "guard" / "sitecustomize.py").write_text(GUARD)
        for folder in FOLDERS:
            self._place(folder).mkdir(parents=True)
        for name in (root / "secrets").iterdir():
            shutil.copy(name, self._place("/run/secrets"))
        for service in SERVICES:
            self._temporary(service).mkdir()
            self._mount(service)

    def secret(self, name: str) -> str:
        """Return what a secret's file holds."""
        return (self.root / "secrets" / name).read_text().strip()

    def mapped(self, text: str, service: str) -> str:
        """Return what stands in a file of ours, as it is on this machine."""

        def replaced(found: re.Match[str]) -> str:
            kind, word = str(found.lastgroup), found[0]
            if kind == "folder":
                return str(self._temporary(service) if word == "/tmp" else self._place(word))
            return {"port": lambda: str(self.ports[int(word)]), "file": lambda: FILES[word]}.get(
                kind, lambda: "127.0.0.1"
            )()

        return WORDS.sub(replaced, text)

    def command(self, service: str) -> list[str]:
        """Return the command of a service: entry point and words."""
        words = [*SERVICES[service].get("entrypoint", ()), *SERVICES[service]["command"]]
        return [self.mapped(word, service) for word in words]

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service: its own files and lines, and nothing of this process."""
        volumes = [one.split(":")[1] for one in SERVICES[service].get("volumes", ()) if not one.endswith(":ro")]
        writable = [f"{self._place(volume)}/" for volume in volumes] + [f"{self._temporary(service)}/"]
        return {name: self.mapped(value, service) for name, value in self._lines(service).items()} | {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/bin",
            "PYTHONPATH": str(self.root / "guard"),
            "TMPDIR": str(self._temporary(service)),
            "WRITABLE": ":".join(writable),
        }

    @contextmanager
    def up(self) -> Iterator[None]:
        """Start every service when what it waits for is there, as `docker-compose up` does; end them all."""
        try:
            waiting = list(SERVICES)
            while waiting:
                name = next(one for one in waiting if not set(SERVICES[one].get("depends_on", ())) & set(waiting))
                self._start(name)
                waiting.remove(name)
            yield
        finally:
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(60)
            if not self._postgres.stopped:
                self._postgres.stop(signal.SIGQUIT)
            shutil.rmtree(self._postgres.folder, ignore_errors=True)

    def execute(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside a service, as `docker-compose exec` does."""
        return subprocess.run(
            [self.mapped(word, service) for word in words],
            env=self.environment(service),
            cwd=self._temporary(service),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S * 2,
        )

    def seed(self) -> str:
        """Run the one-shot service, and return what it said."""
        done = self.execute("seed", *SERVICES["seed"]["entrypoint"], *SERVICES["seed"]["command"])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def healthy(self, service: str) -> bool:
        """Run the health check of a service once."""
        test = [self.mapped(word, service) for word in SERVICES[service]["healthcheck"]["test"][1:]]
        done = subprocess.run(test, env=self.environment(service), capture_output=True, check=False, timeout=60)
        return done.returncode == 0

    def log(self, service: str) -> str:
        """Return what a service wrote last."""
        return (self.root / f"{service}.log").read_text(errors="replace")[-4000:]

    def stop(self, service: str) -> int:
        """End a service as `docker-compose stop` does; return its exit code."""
        process = self._running[service]
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE_S)

    def _start(self, name: str) -> None:
        if name == "seed":
            self.seed()
            return
        if name == "postgres":
            self._start_postgres()
        else:
            with (self.root / f"{name}.log").open("wb") as log:
                self._running[name] = subprocess.Popen(
                    self.command(name),
                    env=self.environment(name),
                    cwd=self._temporary(name),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        until = time.monotonic() + PATIENCE_S
        while not self.healthy(name):
            assert name == "postgres" or self._running[name].poll() is None, f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < until, f"{name} is not healthy:\n{self.log(name)}"
            time.sleep(0.2)

    def _start_postgres(self) -> None:
        """Start the server as its image does: its administrator, then the script of the databases."""
        self._postgres.make()
        self._postgres.start()
        script = self.root / "databases.sql"
        script.write_text(self.mapped((ROOT / "docker" / "databases.sql").read_text(), "postgres"))
        self.sql("postgres", "postgres", self.secret("postgres"), f"--file={script}")

    def sql(self, database: str, user: str, password: str, *words: str) -> str:
        """Ask the server by psql."""
        command = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align", "--host=127.0.0.1"]
        command += [f"--port={self.ports[5432]}", f"--username={user}", f"--dbname={database}", *words]
        given = {"PATH": os.environ["PATH"], "PGPASSWORD": password}
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @staticmethod
    def _lines(service: str) -> dict[str, str]:
        given: dict[str, str] = {}
        for file in SERVICES[service].get("env_file", ()):
            lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
            given |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        return given | SERVICES[service].get("environment", {})

    def _mount(self, service: str) -> None:
        """Put the files that a service mounts where it looks for them."""
        for mount in SERVICES[service].get("volumes", ()):
            source, target = mount.split(":")[:2]
            if source.startswith("./") and target.startswith("/etc/osler/"):
                text = (ROOT / source).read_text(encoding="utf-8")
                Path(self.mapped(target, service)).write_text(self.mapped(text, service))

    def _place(self, folder: str) -> Path:
        return self.root / "files" / folder.strip("/")

    def _temporary(self, service: str) -> Path:
        return self.root / f"tmp-{service}"


def run_first_block(document: str, folder: Path) -> None:
    """Run the first block for a shell of a document of ours, in a folder."""
    found = re.search(r"^```bash\n(.*?)^```", (ROOT / "docs" / document).read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    command = ["bash", "-euc", found[1]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
