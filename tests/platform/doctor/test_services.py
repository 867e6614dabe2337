"""The services around a workspace, each asked for real: sound, wrong, gone; and certificates, tokens and copies near their end."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from oidc_provider_mock import run_server_in_thread

from osler.access.accounts import AccountFile
from osler.api.tokens import TokenFile
from osler.backup import make_backup
from osler.doctor import Check, State
from osler.doctor.machine import check_tracker
from osler.doctor.services import (
    check_api,
    check_certificate,
    check_copies,
    check_hospital,
    check_tokens,
    check_tracking_server,
)
from osler.workspace import Workspace

NOW = datetime.now(UTC)
NOBODY = "http://127.0.0.1:9"


@contextmanager
def answering(
    answers: dict[str, tuple[int, object]], ahead: float = 0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve answers by path, from a machine whose clock is ahead by some seconds; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {}))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], ssl.SSLContext]:
    """Return what makes a server's context with a certificate that is good for so many days, and trusted here."""

    def make(days: int) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "osler test")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=400))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        shown, secret = tmp_path / "shown.pem", tmp_path / "secret.pem"
        shown.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        monkeypatch.setenv("SSL_CERT_FILE", str(shown))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown, secret)
        return context

    return make


def hospital(workspace: Workspace, metadata: str) -> list[Check]:
    """Name a provider in `hospital.yaml`, and look at it."""
    folder = workspace.root / "access"
    folder.mkdir(exist_ok=True)
    (folder / "secret").write_text("s")
    path = folder / "hospital.yaml"
    path.write_text(
        f"metadata: {metadata}\nclient_id: osler\nclient_secret_file: {folder / 'secret'}\naddress: http://localhost:8501\n"
    )
    for private in (path, folder / "secret"):
        private.chmod(0o600)
    return list(check_hospital(workspace))


def test_a_real_provider_is_well(workspace: Workspace) -> None:
    assert list(check_hospital(workspace)) == []
    with run_server_in_thread() as provider:
        address = f"http://localhost:{provider.server_port}/.well-known/openid-configuration"
        assert hospital(workspace, address) == [Check("hospital's log-in", State.OK, "answers")]


def test_a_provider_that_is_gone_or_shows_no_keys_or_is_something_else_is_named(workspace: Workspace) -> None:
    (gone,) = hospital(workspace, f"{NOBODY}/x")
    assert (gone.state, gone.found) == (State.FAIL, "no answer (ConnectError)")
    assert gone.mend
    answers: dict[str, tuple[int, object]] = {"/other": (200, [1])}
    with answering(answers) as address:
        told = {
            "issuer": address,
            "authorization_endpoint": address,
            "token_endpoint": address,
            "jwks_uri": f"{address}/keys",
        }
        answers |= {"/good": (200, told), "/keys": (200, {"keys": []})}
        assert [hospital(workspace, f"{address}/{one}")[0].found for one in ("good", "other", "missing")] == [
            "it shows no keys to verify its tokens with",
            "its configuration has no issuer",
            "it answers 404",
        ]


@pytest.mark.parametrize(("ahead", "state"), [(0, None), (3600, State.FAIL), (-3600, State.FAIL)])
def test_a_clock_that_is_another_is_told(ahead: float, state: State | None) -> None:
    with answering({"/health/live": (200, {}), "/health/ready": (200, {})}, ahead) as address:
        first, *clock = check_api(f"{address}/")
    assert first == Check("HTTP API", State.OK, "answers")
    assert [one.state for one in clock] == ([] if state is None else [state])


def test_an_api_that_lives_and_cannot_answer_says_which_part_fails() -> None:
    failing = {"error": {"details": {"disk": "full", "database": "gone"}}}
    with answering({"/health/live": (200, {}), "/health/ready": (503, failing)}) as address:
        (found,) = check_api(address)
    assert (found.state, found.found) == (State.FAIL, "it cannot answer: database, disk")
    (gone,) = check_api(NOBODY)
    assert (gone.state, "osler api" in gone.mend) == (State.FAIL, True)


def test_a_tracker_is_well_or_refuses_us_or_is_no_tracker_or_gone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "/api/2.0/mlflow/experiments/search"
    found = []
    for answer in (200, 401, 404):
        with answering({"/health": (200, "OK"), place: (answer, {})}) as address:
            found += [(one.state, one.found[:18]) for one in check_tracking_server(address)]
    assert found == [
        (State.OK, "answers"),
        (State.FAIL, "it refuses this lo"),
        (State.FAIL, "it answers 404: is"),
    ]
    monkeypatch.setenv("OSLER_TRACKING_URI", NOBODY)
    assert [(one.part, one.state) for one in check_tracker(workspace.root)] == [("tracker", State.FAIL)]
    monkeypatch.setenv("OSLER_TRACKING_URI", "http://a:b@127.0.0.1")
    assert [one.state for one in check_tracker(workspace.root)] == [State.FAIL]


@pytest.mark.parametrize(("days", "state"), [(60, State.OK), (3, State.WARN), (-1, State.FAIL)])
def test_a_certificate_is_told_before_it_ends(
    certified: Callable[[int], ssl.SSLContext], days: int, state: State
) -> None:
    with answering({}, tls=certified(days)) as address:
        (found,) = check_certificate(address)
    assert (found.part, found.state) == ("certificate of 127.0.0.1", state)
    assert ((NOW + timedelta(days=days)).date().isoformat() in found.found) == (days > 0)
    assert ("expired" in found.found) == (days < 0)


def test_a_certificate_that_nobody_here_trusts_and_an_address_that_is_not_encrypted(
    certified: Callable[[int], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering({}, tls=certified(60)) as address:
        monkeypatch.delenv("SSL_CERT_FILE")
        (found,) = check_certificate(address)
    assert (found.state, "SSL_CERT_FILE" in found.mend) == (State.FAIL, True)
    assert list(check_certificate("http://127.0.0.1")) == []
    assert [one.found for one in check_certificate("https://127.0.0.1:9")] == ["no answer"]


def test_tokens_are_told_before_and_after_they_end(workspace: Workspace) -> None:
    assert list(check_tokens(workspace)) == []
    tokens = TokenFile(workspace, AccountFile(workspace))
    _, long = tokens.issue("list", ["clinician"], actor="A", days=90, program=True)
    assert [one.found for one in check_tokens(workspace)] == [f"1 good, the first to expire on {long.expires[:10]}"]
    _, short = tokens.issue("night", ["engineer"], actor="A", days=5, program=True)
    (soon,) = check_tokens(workspace)
    assert (soon.state, soon.found) == (State.WARN, f"soon to expire: {short.id} on {short.expires[:10]}")
    (over,) = check_tokens(workspace, NOW + timedelta(days=6))
    assert (over.state, over.found) == (State.WARN, f"1 expired ({short.id})")
    tokens.revoke(short.id, actor="A")
    assert [one.state for one in check_tokens(workspace)] == [State.OK]


def test_the_age_of_the_last_copy_is_told_by_its_folder_and_by_the_audit_log(
    workspace: Workspace, tmp_path: Path
) -> None:
    from osler import audit

    assert [(one.state, one.found) for one in check_copies(workspace)] == [(State.WARN, "there is no copy")]
    audit.record(workspace, actor="A", action="backup.make", subject="copies")
    copies = tmp_path / "copies"
    assert [one.found for one in check_copies(workspace, copies)] == ["there is no copy"]
    make_backup(workspace, copies)
    for folder in (None, copies):
        later = NOW + timedelta(days=9)
        (fresh,), (old,) = check_copies(workspace, folder), check_copies(workspace, folder, later)
        assert (fresh.state, old.state) == (State.OK, State.WARN)
        assert fresh.found == "the last copy was made today"
        assert old.found.endswith("days ago")
        assert "backup make" in old.mend
