"""Messages go to an audit repository by TLS, framed as RFC 5425 has it; a repository that is not the one meant gets none."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from tests.platform.tls import Identity, make_identity

from osler import audit
from osler.audit.transport import Address, framed, send
from osler.cli.main import main
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

HEADER = re.compile(rb"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) - (.*)", re.DOTALL)  # RFC 5424, 6


class Repository:
    """An audit repository: takes one connection, and keeps the bytes that came."""

    def __init__(self, identity: Identity, clients: Identity | None = None, *, polite: bool = True) -> None:
        self.context = identity.server()
        if clients is not None:
            self.context.load_verify_locations(clients.certificate)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.received, self.polite = b"", polite
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"syslog+tls://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            link, _ = self._listener.accept()
            with link, self.context.wrap_socket(link, server_side=True, suppress_ragged_eofs=False) as secure:
                while part := secure.recv(65536):
                    self.received += part
                if self.polite:
                    secure.unwrap()
        except OSError:
            return  # what the sender made of it is what the tests look at

    def close(self) -> bytes:
        """Stop, and return all that came."""
        self._listener.close()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()
        return self.received

    def messages(self) -> list[bytes]:
        """Return what came, taken apart by the lengths alone."""
        rest, found = self.close(), []
        while rest:
            length, _, rest = rest.partition(b" ")
            found.append(rest[: int(length)])
            assert len(found[-1]) == int(length)
            rest = rest[int(length) :]
        return found


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "repository")


@pytest.fixture
def repository(identity: Identity) -> Iterator[Repository]:
    running = Repository(identity)
    yield running
    running.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.open(tmp_path / "workspace", create=True)
    for number in range(3):
        audit.record(made, actor="Ä. Reader", action="study.view", subject=f"2.25.{number}")
    audit.record(made, actor="unknown", action="access.refused", subject="unknown")
    return made


def test_what_arrives_are_the_messages_of_the_log(
    workspace: Workspace, repository: Repository, identity: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--workspace", str(workspace.root), "--ca", str(identity.certificate), "--source", "osler at A", "--json")
    assert main(["audit", "export", *place, "--to", repository.address]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["messages"], said["confirmed"]) == (4, True)
    found = repository.messages()
    assert said["sha256"] == hashlib.sha256(repository.received).hexdigest()
    assert len(found) == 4
    for line, entry in zip(found, audit.entries(workspace), strict=False):
        header = HEADER.fullmatch(line)
        assert header is not None
        priority, time, _, app, process, kind, text = header.groups()
        assert (time.decode(), app, process, kind) == (entry.time, b"osler", b"-", b"DICOM+RFC3881")
        assert divmod(int(priority), 8) == (10, 4 if entry.action == "access.refused" else 5)
        assert text.startswith(b"\xef\xbb\xbf<AuditMessage>")
        root = etree.fromstring(text.removeprefix(b"\xef\xbb\xbf"))
        assert root.find("ActiveParticipant").get("UserID") == entry.actor
        assert root.find("AuditSourceIdentification").get("AuditSourceID") == "osler at A"
    assert audit.entries(workspace)[-1].details == {"to": repository.address.removeprefix("syslog+tls://")}


@pytest.mark.parametrize("other", [True, False])
def test_nothing_is_said_to_a_repository_whose_certificate_is_not_trusted(
    workspace: Workspace, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, other: bool
) -> None:
    trusted = ("--ca", str(make_identity(tmp_path, "other").certificate)) if other else ()
    assert main(["audit", "export", "--workspace", str(workspace.root), "--to", repository.address, *trusted]) == 1
    assert "[server-unreachable]" in capsys.readouterr().err
    assert repository.close() == b""


def test_nor_to_one_of_another_name(tmp_path: Path) -> None:
    identity = make_identity(tmp_path, "elsewhere", "127.0.0.9")
    running = Repository(identity)
    with pytest.raises(OslerError) as caught:
        send([b"1 x"], Address.parse(running.address, identity.certificate))
    assert caught.value.code is Code.SERVER_UNREACHABLE
    assert running.close() == b""


def test_a_repository_may_ask_who_sends(identity: Identity, tmp_path: Path) -> None:
    ours, others = make_identity(tmp_path, "ours"), make_identity(tmp_path, "others")
    running = Repository(identity, clients=ours)
    assert send([b"1 x"] * 3, Address.parse(running.address, identity.certificate, ours.both)).confirmed
    assert running.messages() == [b"x"] * 3
    for shown in (None, others.both):
        running = Repository(identity, clients=ours)
        with pytest.raises(OslerError) as caught:
            send([b"1 x"], Address.parse(running.address, identity.certificate, shown))
        assert caught.value.code is Code.SERVER_UNREACHABLE
        assert running.close() == b""


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_certificate_that_cannot_be_used_is_told_as_such(
    identity: Identity, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "spoilt.pem"
    if content is not None:
        path.write_bytes(content)
    for files in ((path, None), (identity.certificate, path), (identity.certificate, identity.certificate)):
        with pytest.raises(OslerError) as caught:
            send([b"1 x"], Address.parse("syslog+tls://127.0.0.1", *files))
        assert caught.value.code is Code.LOGIN_INVALID


def test_an_end_that_is_not_confirmed_is_told(identity: Identity) -> None:
    running = Repository(identity, polite=False)
    done = send([b"1 x"], Address.parse(running.address, identity.certificate))
    assert (done.messages, done.confirmed) == (1, False)
    assert running.messages() == [b"x"]


@pytest.mark.parametrize(
    "text", ["audit.example", "syslog://audit.example", "syslog+tls://", "syslog+tls://a:x", "syslog+tls://me:pw@a:1"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(OslerError) as caught:
        Address.parse(text)
    assert caught.value.code is Code.USAGE
    assert "pw" not in str(caught.value)


def test_the_usual_port_and_odd_names() -> None:
    assert Address.parse("syslog+tls://audit.example") == Address("audit.example", 6514)
    assert framed("ä".encode(), "2026-01-31T00:00:00+00:00", "my host") == (
        b"69 <85>1 2026-01-31T00:00:00+00:00 my?host osler - DICOM+RFC3881 - \xef\xbb\xbf\xc3\xa4"
    )
