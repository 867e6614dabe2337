"""`osler dashboard`: the pages for clinicians, site engineers and researchers, on this computer alone."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from osler.cli.command import CommandResult, add_workspace, say
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard.settings import (
    BROWSER_VARIABLE,
    CROSSWALK_VARIABLE,
    LOCAL_NAME_VARIABLE,
    LOCAL_ROLES_VARIABLE,
    LOOPBACK,
    MODEL_VARIABLE,
    WORKSPACE_VARIABLE,
    flags,
)

SUMMARY = "open the dashboard in the browser: studies with their explanations, sites with their patches, results"

APP = Path(__file__).with_name("asgi.py")
DEFAULT_PORT = 8501
_TRIES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_workspace(parser)
    parser.add_argument("--model", metavar="NAME", help="model to show (default: the one fitted with a prior)")
    parser.add_argument("--port", type=int, metavar="PORT", help=f"port (default: the first free from {DEFAULT_PORT})")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="where to listen (default: this computer alone). Another needs accounts or the hospital's log-in, and a "
        "proxy with TLS in front",
    )
    parser.add_argument(
        "--as",
        dest="name",
        metavar="NAME",
        help="your name for the audit log, on this computer alone and without accounts",
    )
    parser.add_argument(
        "--role", action="append", metavar="ROLE", help="only this role for --as (may be repeated; default: all)"
    )
    parser.add_argument(
        "--crosswalk", type=Path, metavar="FILE", help="crosswalk by which clinicians look patients up (default: none)"
    )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Serve the dashboard until it is stopped.

    Raises:
        OslerError: `part-missing` without Streamlit, `workspace-invalid` without a workspace or a model in it, `usage`
            where the port is taken.
    """
    if find_spec("streamlit") is None:
        raise OslerError(
            Code.PART_MISSING, "The dashboard needs Streamlit.", "Install it with `pip install 'osler[dashboard]'`."
        )
    workspace = checked_workspace(arguments.workspace)
    port = free_port(arguments.port, arguments.address)
    url = f"http://{'localhost' if arguments.address == '127.0.0.1' else arguments.address}:{port}"
    local = local_person(workspace, arguments)
    say(f"The dashboard is at {url}. Stop it with Ctrl+C. Research use only; not a medical device.")
    options = flags(address=arguments.address, port=port)
    environment = {
        **os.environ,
        WORKSPACE_VARIABLE: str(workspace.root),
        MODEL_VARIABLE: arguments.model or "",
        BROWSER_VARIABLE: "" if arguments.no_browser or not _has_display() else "1",
        **local,
    }
    if arguments.crosswalk is not None:
        environment[CROSSWALK_VARIABLE] = str(arguments.crosswalk)
    status = _serve([sys.executable, "-m", "streamlit", "run", str(APP), *options], environment)
    if status not in (0, -signal.SIGINT, -signal.SIGTERM):
        raise OslerError(
            Code.INTERNAL, f"The dashboard ended with status {status}.", "Run `osler doctor`, then try again."
        )
    return CommandResult({"url": url, "workspace": str(workspace.root)}, ["The dashboard is stopped."])


def checked_workspace(root: Path) -> Workspace:
    """Open a workspace that has a model or a concept bank to show.

    Raises:
        OslerError: `workspace-invalid`.
    """
    workspace = Workspace.open(root)
    if not any(workspace.models.glob("*/bottleneck.json")) and not any(workspace.knowledge.glob("*.json")):
        raise OslerError(
            Code.WORKSPACE_INVALID,
            f"The workspace {root} has no model and no concept bank yet.",
            "Run `osler demo` on it, or `osler knowledge propose`.",
        )
    return workspace


def local_person(workspace: Workspace, arguments: argparse.Namespace) -> dict[str, str]:
    """Return who gets in by the terminal's own address, for the server: nobody where there are accounts.

    Raises:
        OslerError: `usage` where --as is not possible; `access-invalid`.
    """
    from osler.access.accounts import AccountFile
    from osler.access.hospital import load_hospital
    from osler.access.roles import Role, parse_roles
    from osler.audit import MAX_ACTOR, check_words
    from osler.cli.people import account

    here = arguments.address in LOOPBACK
    alone = load_hospital(workspace) is None and not AccountFile(workspace).all()
    if not alone or not here:
        if arguments.name or arguments.role:
            raise OslerError(
                Code.USAGE, "--as and --role are for one person on this computer, without accounts.", "Leave them out."
            )
        if alone:
            say("Nobody can sign in yet. Add somebody: `osler accounts add NAME --role administrator`.")
        return {LOCAL_NAME_VARIABLE: ""}
    roles = parse_roles(arguments.role or [str(role) for role in Role])
    name = check_words(arguments.name, "name", MAX_ACTOR) if arguments.name else account()
    return {LOCAL_NAME_VARIABLE: name, LOCAL_ROLES_VARIABLE: " ".join(sorted(roles))}


def free_port(wanted: int | None, address: str = "127.0.0.1") -> int:
    """Return the wanted port, or the first free one from the default on.

    Raises:
        OslerError: `usage` where none is free.
    """
    for port in [wanted] if wanted is not None else range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
        if not 0 < port < 65536:
            raise OslerError(Code.USAGE, f"There is no port {port}.", "Name one from 1 to 65535 with --port.")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    taken = wanted if wanted is not None else f"{DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1}"
    raise OslerError(Code.USAGE, f"Port {taken} is not free.", "Name another with --port.")


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _serve(command: list[str], environment: Mapping[str, str]) -> int:
    """Run the server to its end; what asks this process to stop stops the server too."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.terminate()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return server.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
