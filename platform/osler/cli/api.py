"""`osler api`: serve studies, explanations, corrections and patches to programs; issue the tokens that they show."""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.people import account as person_here

if TYPE_CHECKING:
    from osler.api.settings import Settings
    from osler.api.tokens import Token, TokenFile

SUMMARY = "serve the HTTP API for programs, on this computer alone unless told otherwise; issue and revoke its tokens"
DEFAULT_PORT, LOOPBACK = 8600, ("127.0.0.1", "::1", "localhost")
NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the server and the actions on tokens."""
    add_workspace(parser)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: this computer alone)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port (default: {DEFAULT_PORT})")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that answer (default: 1)")
    parser.add_argument("--model", metavar="NAME", help="model to explain with (default: the one fitted with a prior)")
    parser.add_argument(
        "--rate", type=float, default=1200, metavar="N", help="requests a minute for each token (default: 1200)"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    tokens = actions.add_parser("token", help="issue, list or revoke tokens (audited)")
    actions.add_parser("describe", help="print the OpenAPI description, without a server")
    _add_tokens(tokens)


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    issuing = steps.add_parser("issue", help="issue a token; it is shown once")
    issuing.add_argument("name", help="name of an account, or of a program with --program")
    issuing.add_argument("--role", action="append", metavar="ROLE", help="a role; may be repeated")
    issuing.add_argument("--days", type=float, default=90, help="how long it is good (default: 90 days)")
    issuing.add_argument("--program", action="store_true", help="for a program that has no account")
    issuing.add_argument("--out", type=Path, metavar="FILE", help="write it into a new file that you alone can read")
    listing = steps.add_parser("list", help="show the tokens; their secrets are kept nowhere")
    revoking = steps.add_parser("revoke", help="revoke a token at once")
    revoking.add_argument("id", help="name of the token, as `list` shows it")
    for step in (issuing, revoking):
        step.add_argument("--actor", help="who does this (default: your account on this computer)")
    for step in (issuing, listing, revoking):
        step.add_argument(
            "--workspace",
            type=Path,
            default=argparse.SUPPRESS,
            metavar="DIR",
            help="the workspace (default: ./workspace)",
        )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Serve until stopped, or do one action.

    Raises:
        OslerError: `part-missing` without the server's libraries, `workspace-invalid`, `address-occupied`; as
            `osler.api.tokens.TokenFile`.
    """
    if arguments.action == "token":
        return _token(arguments)
    _require_parts()
    from osler.api.settings import Settings

    if arguments.action == "describe":
        from osler.api.app import describe

        return CommandResult(described := describe(), [json.dumps(described, indent=2)])
    return _serve(Settings(arguments.workspace.resolve(), arguments.model, rate=arguments.rate), arguments)


def _serve(settings: Settings, arguments: argparse.Namespace) -> CommandResult:
    import uvicorn

    from osler.api.tokens import TokenFile
    from osler.workspace import Workspace

    _require_address(arguments.host, arguments.port, arguments.workers)
    workspace = Workspace.open(settings.workspace)
    if not TokenFile(workspace).all():
        say("There are no tokens yet: `osler api token issue NAME --role ROLE` makes one.")
    if arguments.host not in LOOPBACK:
        say("Others can reach this address: put a proxy with TLS in front, or tokens travel in the clear.")
    url = f"http://{'localhost' if arguments.host == '127.0.0.1' else arguments.host}:{arguments.port}"
    say(f"The API is at {url}. Stop it with Ctrl+C. Research use only; not a medical device.")
    os.environ.update(settings.to_environment())
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops in good order, and then sends the signal once more
        signal.signal(number, lambda _number, _frame: None)
    with tempfile.TemporaryDirectory(prefix="osler-api-") as shared:
        if arguments.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        uvicorn.run(
            "osler.api.app:from_environment",
            factory=True,
            host=arguments.host,
            port=arguments.port,
            workers=arguments.workers,
            log_level="warning",
            access_log=False,  # addresses hold pseudonyms of studies; the metrics count
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,  # longer than proxies and clients keep an idle connection, or they meet a closed one
            timeout_graceful_shutdown=30,
            backlog=1024,
        )
    return CommandResult({"url": url, "workspace": str(workspace.root)}, ["The API is stopped."])


def _token(arguments: argparse.Namespace) -> CommandResult:
    from datetime import UTC, datetime

    from osler.api.tokens import TokenFile
    from osler.workspace import Workspace

    file = TokenFile(Workspace.open(arguments.workspace))
    if arguments.step == "list":
        now = datetime.now(UTC)
        found = [
            {
                "id": one.id,
                "name": one.name,
                "roles": sorted(one.roles),
                "expires": one.expires,
                "state": one.state(now),
            }
            for one in file.all()
        ]
        lines = [
            f"{one['id']}  {one['state']}  {one['name']}: {' and '.join(one['roles'])}, until {one['expires']}"
            for one in found
        ]
        return CommandResult({"tokens": found}, lines or ["There are no tokens."])
    actor = arguments.actor or person_here()
    if arguments.step == "revoke":
        held = file.revoke(arguments.id, actor=actor)
        return CommandResult({"revoked": held.id}, [f"The token {held.id} of {held.name} is good no more."])
    return _issue(file, arguments, actor)


def _issue(file: TokenFile, arguments: argparse.Namespace, actor: str) -> CommandResult:
    def issue() -> tuple[str, Token]:
        roles = tuple(arguments.role or ())
        return file.issue(arguments.name, roles, actor=actor, days=arguments.days, program=arguments.program)

    text, token = issue() if arguments.out is None else _issued_into(arguments.out, issue)
    payload: dict[str, object] = {"id": token.id, "name": token.name, "expires": token.expires}
    told = f"Token {token.id} for {token.name}, good until {token.expires}."
    if arguments.out is None:
        return CommandResult(payload | {"token": text}, [text, told + " It is shown this once: keep it as a password."])
    return CommandResult(payload | {"file": str(arguments.out)}, [f"{told} It is in {arguments.out}."])


def _issued_into(path: Path, issue: Callable[[], tuple[str, Token]]) -> tuple[str, Token]:
    """Issue a token into a new file, which is opened before: a token that nobody has must not be good."""
    from osler.files import open_private
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    try:
        with open(path, "x", opener=open_private) as stream:
            try:
                text, token = issue()
                stream.write(text + "\n")
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise OslerError(Code.USAGE, f"{path.name} is there already.", "Name a file that is not there yet.") from None
    return text, token


def _require_parts() -> None:
    from importlib.util import find_spec

    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise OslerError(
            Code.PART_MISSING, f"The API needs {', '.join(missing)}.", "Install it with `pip install 'osler[api]'`."
        )


def _require_address(host: str, port: int, workers: int) -> None:
    import socket

    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not 0 < port < 65536 or workers < 1:
        raise OslerError(Code.USAGE, "Port or number of workers is out of range.", "Name a port from 1 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise OslerError(
                Code.ADDRESS_OCCUPIED, f"{host} cannot listen at port {port}.", "Name another with --port."
            ) from None
