"""What an installation is linked to: its database, audit log, models, people, and the PACS that it watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.uid import generate_uid

from osler.doctor.check import SKEW_S, Check, State, clock_between, looked
from osler.doctor.services import WAIT_S, check_api, check_copies, check_hospital, check_tokens
from osler.workspace import MARKER, Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from osler.exchange.verify import Check as Look
    from osler.watch.settings import WatchSettings


def examine_installation(folder: Path, *, api: str | None = None, copies: Path | None = None) -> Iterator[Check]:
    """Check the links of a workspace; one that is not there yet has none."""
    if not (folder / MARKER).is_file():
        return
    workspace = Workspace.open(folder)
    yield from check_database(workspace)
    yield check_audit(workspace)
    yield from check_models(workspace)
    yield check_people(workspace)
    yield from check_hospital(workspace)
    yield from check_tokens(workspace)
    if api is not None:
        yield from check_api(api)
    yield from check_copies(workspace, copies)
    yield from check_watch(workspace)


def check_database(workspace: Workspace) -> Iterator[Check]:
    """Check that the index, reviews and audit log can be reached, and on a server that its clock is this machine's."""
    from osler.database import address_of

    part = "database"
    try:
        server = address_of(workspace) is not None
    except OslerError as error:
        yield Check.refused(part, error)
        return
    if not server:
        index = workspace.archive / "index.sqlite"
        yield looked(
            part, lambda: _opened(workspace, index.name) if index.is_file() else "none yet: nothing was taken in"
        )
        return
    yield looked(part, lambda: _opened(workspace, "PostgreSQL"))
    yield check_clock(workspace)


def _opened(workspace: Workspace, name: str) -> str:
    from sqlalchemy import text

    from osler.database import open_database

    with open_database(workspace).connect() as connection:
        studies = connection.execute(text("SELECT count(*) FROM studies")).scalar_one()
    return f"{name}, {studies} studies"


def check_clock(workspace: Workspace) -> Check:
    """Check the database server's clock against this machine's."""
    from sqlalchemy import text

    from osler.database import open_database

    try:
        with open_database(workspace).connect() as connection:
            theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    except OslerError as error:
        return Check.refused("clock", error)
    return clock_between("the database server", (theirs - datetime.now(UTC)).total_seconds())


def check_audit(workspace: Workspace) -> Check:
    """Check the chain of the audit log, and that none of it was written in this clock's future."""
    from osler import audit

    part = "audit log"
    try:
        found = audit.verify(workspace)
        last = next(iter(audit.entries(workspace)[-1:]), None)
    except OslerError as error:
        return Check.refused(part, error)
    if found.fault is not None:
        mend = "keep a copy of the log, restore it from a backup, and ask who could write to it (`osler audit verify`)"
        return Check(part, State.FAIL, f"entry {found.entry}: {found.fault.rstrip('.')}", mend)
    if last is not None and (ahead := (datetime.fromisoformat(last.time) - datetime.now(UTC)).total_seconds()) > SKEW_S:
        return Check(
            part, State.FAIL, f"its last entry lies {ahead:.0f} s in the future", "set the clock of this machine"
        )
    return Check(part, State.OK, f"{found.count} entries, the chain holds")


def check_models(workspace: Workspace) -> Iterator[Check]:
    """Check every model with its patches and calibrations, and the concept banks, which all of them share."""
    from osler.exchange.verify import bank_checks, own_checks
    from osler.explain.service import model_names

    for name in model_names(workspace):
        looks = own_checks(workspace, name)
        yield from _together(
            f"model {name}", looks, f"as it was written, with {len(looks) - 1} patches and calibrations"
        )
    if looks := bank_checks(workspace):
        yield from _together("concept banks", looks, f"{len(looks)}, as they were written")


def _together(part: str, looks: Sequence[Look], sound: str) -> Iterator[Check]:
    """Return what is refused of several files, or in one line that nothing is."""
    refused = [Check.refused(f"{part}: {one.what}", one.error) for one in looks if one.error is not None]
    yield from refused or [Check(part, State.OK, sound)]


def check_people(workspace: Workspace) -> Check:
    """Check who may sign in."""
    from osler.access.accounts import AccountFile
    from osler.access.hospital import load_hospital
    from osler.access.roles import Role

    part = "log-in"
    try:
        accounts, hospital = AccountFile(workspace).all(), load_hospital(workspace)
    except OslerError as error:
        return Check.refused(part, error)
    if hospital is not None:
        return Check(part, State.OK, "by the hospital's own log-in")
    if not accounts:
        mend = "`osler accounts add NAME --role administrator` before anybody else may reach the dashboard"
        return Check(part, State.WARN, "no accounts: who opens the address printed at the start has every role", mend)
    keepers = sum(Role.ADMINISTRATOR in account.roles for account in accounts)
    return Check(part, State.OK, f"{len(accounts)} accounts, {keepers} of them administrators")


def check_watch(workspace: Workspace) -> Iterator[Check]:
    """Check the PACS that `watch.yaml` names, and that the watch lives; nothing where there is none."""
    from osler.watch.settings import FILE, load_watch
    from osler.watch.status import read_beat

    if not (workspace.root / FILE).is_file():
        return
    try:
        settings = load_watch(workspace)
    except OslerError as error:
        yield Check.refused("watch settings", error)
        return
    for address in dict.fromkeys((settings.fetching, settings.reporting)):
        if not address.startswith("listen:"):
            yield looked(f"PACS {address}", partial(_answers, settings, address))
    beat = read_beat(workspace)
    if beat is None:
        yield Check("watch", State.WARN, "it has never run here", "`osler watch run` begins")
    elif beat.alive:
        paused = f", paused: {beat.reason}" if beat.state == "paused" else ""
        yield Check("watch", State.WARN if paused else State.OK, f"{beat.state}{paused}")
    elif beat.state == "stopped":
        yield Check("watch", State.WARN, "it was stopped", "`osler watch run` goes on where it was")
    else:
        yield Check(
            "watch", State.FAIL, "it gives no sign of life", "start it again: `osler watch run` goes on where it was"
        )


def _answers(settings: WatchSettings, address: str) -> str:
    """Return that a PACS answers, by asking for what it cannot have."""
    from osler.report.service import ObjectName
    from osler.sources.web_client import Patience
    from osler.watch.opening import receiver_of

    nobodys = str(generate_uid(entropy_srcs=["a study that nobody has"]))
    receiver = receiver_of(settings, address, Patience(tries=1, timeout_s=WAIT_S))
    if receiver.has(ObjectName(nobodys, nobodys, nobodys)):
        raise OslerError(Code.SOURCE_FAILED, "It says that it has what nobody made.", "Check its address.")
    return "answers"
