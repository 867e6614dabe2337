"""The services around a workspace: the hospital's log-in, the HTTP API and its tokens, the tracking server, and copies."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from osler.doctor.check import SKEW_S, Check, State, clock_between
from osler.workspace import Workspace
from osler_contracts.errors import OslerError

WAIT_S, TRACKER_WAIT_S = 5.0, 20.0  # for a service to answer; MLflow's first answer after its start takes longer
SOON = timedelta(days=14)  # what ends within it is told while there is time to renew it
OLD = timedelta(days=7)  # an older copy is told
ASKED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")  # OpenID Connect Discovery 1.0, 3


def check_hospital(workspace: Workspace) -> Iterator[Check]:
    """Check the hospital's log-in: its configuration and keys, its clock, its certificate and ours; nothing without one."""
    from osler.access.hospital import load_hospital

    try:
        hospital = load_hospital(workspace)
    except OslerError:
        return  # told by the check of who may sign in
    if hospital is None:
        return
    part, mend = "hospital's log-in", "check `metadata` in hospital.yaml, the network, and the provider"
    yield from _asked(part, hospital.metadata, mend, _provider)
    yield from check_certificate(hospital.address)


def _provider(answer: httpx.Response, client: httpx.Client) -> str | None:
    """Return what is wrong with an OpenID configuration, None where nothing is."""
    held = _json(answer)
    if missing := [name for name in ASKED if not isinstance(held.get(name), str)]:
        return f"its configuration has no {missing[0]}"
    if not _json(client.get(held["jwks_uri"])).get("keys"):
        return "it shows no keys to verify its tokens with"
    return None


def check_api(address: str) -> Iterator[Check]:
    """Check a running HTTP API: whether it lives and can answer, its clock, its certificate."""
    root = address.rstrip("/")

    def ready(_answer: httpx.Response, client: httpx.Client) -> str | None:
        answer = client.get(f"{root}/health/ready")
        if answer.status_code == httpx.codes.OK:
            return None
        details = _json(answer).get("error", {}).get("details", {})
        return f"it cannot answer: {', '.join(sorted(details)) or answer.status_code}"

    yield from _asked("HTTP API", f"{root}/health/live", "start it: `osler api`, and check --api", ready)


def check_tokens(workspace: Workspace, now: datetime | None = None) -> Iterator[Check]:
    """Check how long the tokens of the HTTP API are good; nothing where none was issued."""
    from osler.api.tokens import TokenFile

    part, now = "tokens", now or datetime.now(UTC)
    try:
        tokens = [one for one in TokenFile(workspace).all() if not one.revoked]
    except OslerError as error:
        yield Check.refused(part, error)
        return
    ends = {one: datetime.fromisoformat(one.expires) for one in tokens}
    over = [one.id for one, end in ends.items() if end <= now]
    soon = [f"{one.id} on {one.expires[:10]}" for one, end in ends.items() if now < end <= now + SOON]
    mend = "`osler api token issue` gives its holder a new one, `osler api token revoke` puts the old one away"
    if soon or over:
        told = [f"{len(over)} expired ({', '.join(over)})"] * bool(over) + [
            f"soon to expire: {', '.join(soon)}"
        ] * bool(soon)
        yield Check(part, State.WARN, "; ".join(told), mend)
    elif tokens:
        yield Check(
            part, State.OK, f"{len(tokens)} good, the first to expire on {min(ends.values()).date().isoformat()}"
        )


def check_tracking_server(address: str) -> Iterator[Check]:
    """Check an MLflow server: whether it lives and takes our log-in, its clock, its certificate."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    login = httpx.BasicAuth(name, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if name else None

    def lets_us_in(_answer: httpx.Response, client: httpx.Client) -> str | None:
        asked = {"max_results": 1}
        answer = client.post(
            f"{address}/api/2.0/mlflow/experiments/search", json=asked, auth=login or httpx.USE_CLIENT_DEFAULT
        )
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return "it refuses this login (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)"
        return None if answer.status_code == httpx.codes.OK else f"it answers {answer.status_code}: is it MLflow?"

    mend = "start it, or unset OSLER_TRACKING_URI: runs are kept in the workspace then"
    yield from _asked("tracker", f"{address}/health", mend, lets_us_in, wait_s=TRACKER_WAIT_S)


def check_copies(workspace: Workspace, folder: Path | None = None, now: datetime | None = None) -> Iterator[Check]:
    """Check the age of the last copy: of those in `folder`, else the one that the audit log notes."""
    from osler import audit
    from osler.backup import backups

    part, now = "backup", now or datetime.now(UTC)
    mend = f"`osler backup make --into FOLDER --workspace {workspace.root.name}`, once a day"
    try:
        if folder is not None:
            made = [datetime.strptime(f"{one.name[:15]}+0000", "%Y%m%dT%H%M%S%z") for one in backups(folder)]
        else:
            made = [datetime.fromisoformat(one.time) for one in audit.entries(workspace) if one.action == "backup.make"]
    except OslerError:
        return  # told by the check of the audit log
    except ValueError:
        yield Check(part, State.FAIL, f"{folder} holds something else beside copies", "name the folder of the copies")
        return
    if not made:
        yield Check(part, State.WARN, "there is no copy", mend)
        return
    days = (now - max(made)).days
    found = f"the last copy was made {'today' if days < 1 else f'{days} days ago'}"
    yield Check(part, State.WARN, found, mend) if now - max(made) > OLD else Check(part, State.OK, found)


def check_certificate(address: str, now: datetime | None = None) -> Iterator[Check]:
    """Check how long the certificate of an https address is good; nothing for another address."""
    url = httpx.URL(address)
    if url.scheme != "https":
        return
    part = f"certificate of {url.host}"
    try:
        ends, now = _end_of_certificate(url.host, url.port or 443), now or datetime.now(UTC)
    except ssl.SSLCertVerificationError as error:
        mend = "renew it, or name the authority that signed it in SSL_CERT_FILE"
        yield Check(part, State.FAIL, f"not trusted: {error.verify_message}", mend)
        return
    except OSError:
        yield Check(part, State.FAIL, "no answer", "start what encrypts there, and check the address")
        return
    found = f"good until {ends.date().isoformat()}"
    yield Check(part, State.WARN, found, "renew it") if ends - now < SOON else Check(part, State.OK, found)


def _end_of_certificate(host: str, port: int) -> datetime:
    import socket

    with (
        closing(socket.create_connection((host, port), timeout=WAIT_S)) as plain,
        httpx.create_ssl_context().wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        shown = encrypted.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)


def _asked(
    part: str,
    address: str,
    mend: str,
    look: Callable[[httpx.Response, httpx.Client], str | None],
    wait_s: float = WAIT_S,
) -> Iterator[Check]:
    """Ask an address, look at what it answers, and compare clocks; then its certificate."""
    try:
        with httpx.Client(timeout=wait_s) as client:
            answer = client.get(address)
            wrong = f"it answers {answer.status_code}" if answer.is_error else look(answer, client)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield Check(part, State.FAIL, f"no answer ({type(error).__name__})", mend)
        yield from check_certificate(address)
        return
    yield Check(part, State.FAIL, wrong, mend) if wrong else Check(part, State.OK, "answers")
    if date := answer.headers.get("Date"):  # in whole seconds (RFC 9110, 6.6.1)
        seconds = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
        if abs(seconds) > SKEW_S:
            yield clock_between(f"the {part}", seconds)
    yield from check_certificate(address)


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        held = answer.json()
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}
