"""A real PostgreSQL server in a temporary folder, and a new database in it for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.platform.ports import free_port

from osler.database.engine import forget_engines
from osler.database_address import VARIABLE

USER = "osler"
PASSWORD = "a secret: of ours' own"


def _programs() -> Path:
    """Return the newest server's programs: Debian keeps them beside each other by version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL is not installed; see CONTRIBUTING.md"
    return found[-1].parent


@dataclass
class PostgresServer:
    """A server of one test session; as root it runs under another name, since PostgreSQL refuses root."""

    folder: Path
    port: int = field(default_factory=free_port)
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)
    _numbers: Iterator[int] = field(default_factory=count)
    _process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the folder of its data, with a password for everybody who comes over the network."""
        owner = self._owner()
        if owner is not None:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        secret = self.folder / "secret"
        secret.write_text(self.password)
        os.chmod(secret, 0o644)
        words = [
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            f"--username={self.user}",
            "--no-sync",
            "--encoding=UTF8",
        ]
        # A language whose order of letters is not that of bytes: whoever relies on the database's own order is found out.
        words += ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        self._run("initdb", *words, "-D", str(self.data))
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n")
            settings.write("fsync = off\nfull_page_writes = off\nmax_connections = 60\nshared_buffers = 16MB\n")

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._process is None

    @property
    def data(self) -> Path:
        """Where the data are."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_programs() / "postgres"), "-D", str(self.data)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as_owner(),
            )
        until = time.monotonic() + 60
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; `SIGKILL` as a machine that loses its power."""
        assert self._process is not None
        if how is signal.SIGKILL:
            # Its own children notice within a moment; until then the memory that they share is in use.
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # the server ends the others once one is gone
                    child.kill()
        self._process.send_signal(how)
        self._process.wait(timeout=60)
        self._process = None

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """Connect as the administrator, past Osler."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=self.password, dbname=database, autocommit=True
        )

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"osler_{next(self._numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *words: str) -> None:
        command = [str(_programs() / program), *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, **self._as_owner())
        assert done.returncode == 0, done.stderr

    def _as_owner(self) -> dict[str, int]:
        owner = self._owner()
        return {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid}

    @staticmethod
    def _owner() -> pwd.struct_passwd | None:
        return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return a running server; its folder is not pytest's own, which nobody else may enter."""
    folder = Path(tempfile.mkdtemp(prefix="osler-postgres-"))
    server = PostgresServer(folder)
    try:
        server.make()
        server.start()
        yield server
        if not server.stopped:
            server.stop(signal.SIGQUIT)  # at once: its data are thrown away
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of an empty database; its password is in the environment, where libpq looks for it."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    yield postgres_server.new_database()
    forget_engines()


KINDS = ["files", pytest.param("postgresql", marks=pytest.mark.system)]


@pytest.fixture(params=KINDS)
def kept_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the workspaces of a test keep their records in files, then in PostgreSQL; return which."""
    if request.param == "postgresql":
        monkeypatch.setenv(VARIABLE, request.getfixturevalue("postgres_url"))
    return str(request.param)


def in_files() -> pytest.MarkDecorator:
    """Mark a test of what only files can suffer."""
    return pytest.mark.parametrize("kept_in", ["files"], indirect=True)
