"""From the settings to a watch that is ready to run: everything that can be wrong is found before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from osler.deid.crosswalk import open_crosswalk
from osler.deid.key import load_key
from osler.report.receivers import Receiver, ReceiverOptions, open_receiver
from osler.sources.address import Kind, parse_address, parse_place
from osler.sources.dimse import OWN_TITLE, Peer, Tls, check_title
from osler.sources.pacs import PacsOptions
from osler.sources.web_client import Patience
from osler.watch.engine import Engine
from osler.watch.feeds.base import Feed, Fetcher
from osler.watch.intake import Intake
from osler.watch.marker import Marker
from osler.watch.reporting import Reporting
from osler.watch.sealing import Seal
from osler.watch.settings import WatchSettings
from osler.watch.steps import GIB, Steps
from osler.watch.store import WatchStore
from osler.watch.waiting_room import WaitingRoom
from osler.workspace import Workspace

TRIES = 2  # of one request; the watch itself waits longer, and can be stopped meanwhile


def open_engine(workspace: Workspace, settings: WatchSettings, stopped: Callable[[], bool]) -> Engine:
    """Return the watch that settings describe; a listener listens when this returns.

    Args:
        workspace: The workspace.
        settings: What to follow, and what to do with it.
        stopped: Whether to leave after the step under way.

    Raises:
        OslerError: `usage`, `key-invalid`, `crosswalk-invalid`, `login-invalid`, `model-invalid`, `address-occupied`,
            `workspace-occupied`; as the database fails.
    """
    intake, login = settings.intake, settings.login
    key = load_key(_path(intake.key_file), create=True, workspace=workspace.root)
    crosswalk = open_crosswalk(Path(intake.crosswalk), workspace, key_file=_path(intake.crosswalk_key), create=True)
    patience = Patience(tries=TRIES, timeout_s=login.timeout_s)
    reporting = Reporting(
        workspace, receiver_of(settings, settings.reporting, patience), crosswalk, settings.actor, settings.reason
    )
    for model in {site.model for site in settings.sites}:
        _ = reporting.reporter(model).explainer.pipeline
    _ = reporting.reporter(settings.sites[0].model).settings
    seal = Seal(key)
    store = WatchStore(workspace, seal, settle_s=settings.limits.settle_s)
    feed = _feed(workspace, settings, patience)
    fetcher = _fetcher(workspace, settings, key, patience, feed)
    steps = Steps(
        workspace,
        settings,
        seal,
        fetcher,
        Intake(workspace, key, crosswalk, intake),
        reporting,
        WaitingRoom(workspace),
        Marker(workspace),
    )
    return Engine(feed, store, steps, stopped, time.time)


def receiver_of(settings: WatchSettings, address: str, patience: Patience) -> Receiver:
    """Return the PACS at an address, to which a watch shows itself as its settings say.

    Raises:
        OslerError: `usage`, `login-invalid`.
    """
    login = settings.login
    options = ReceiverOptions(
        login_file=_path(login.login_file),
        ca=_path(login.ca),
        title=login.title,
        tls=login.tls,
        certificate=_path(login.certificate),
        private_key=_path(login.private_key),
        patience=patience,
    )
    return open_receiver(address, options)


def _feed(workspace: Workspace, settings: WatchSettings, patience: Patience) -> Feed:
    follow, login = settings.follow, settings.login
    files = (_path(login.login_file), _path(login.ca))
    if follow.feed == "orthanc":
        from osler.watch.feeds.orthanc import OrthancFeed

        return OrthancFeed(follow.address, *files, patience, from_now=follow.begin == "now")
    if follow.feed == "dicomweb":
        from osler.watch.feeds.dicomweb import DicomwebFeed

        return DicomwebFeed(follow.address, *files, patience, query=follow.query, days=follow.days)
    address = parse_address(follow.address)
    if follow.feed == "find":
        from osler.watch.feeds.find import FindFeed

        peer = Peer(
            address.host, address.port, check_title(address.title), check_title(login.title), _tls(settings), patience
        )
        return FindFeed(peer, query=follow.query, days=follow.days)
    from osler.watch.feeds.listener import ListenerFeed, ListenerOptions

    heard = ListenerOptions(
        title=check_title(address.title or OWN_TITLE),
        callers=[check_title(title) for title in follow.callers],
        least_free=int(settings.limits.least_free_gib * GIB),
        tls=_tls(settings),
        patience=patience,
    )
    return ListenerFeed(address.host, address.port, workspace, heard)


def _fetcher(workspace: Workspace, settings: WatchSettings, key: bytes, patience: Patience, feed: Feed) -> Fetcher:
    address = parse_address(settings.fetching)
    if address.kind is Kind.LISTENER:
        return cast(Fetcher, feed)
    from osler.watch.fetching import PacsFetcher, WebFetcher

    login = settings.login
    if address.kind is Kind.WEB:
        return WebFetcher(address.text, _path(login.login_file), _path(login.ca), patience)
    return PacsFetcher(
        address.host, address.port, check_title(address.title), workspace, key, _pacs(settings, patience)
    )


def _pacs(settings: WatchSettings, patience: Patience) -> PacsOptions:
    login = settings.login
    return PacsOptions(
        get=login.retrieve == "get",
        own_title=check_title(login.title),
        receive=parse_place(login.receive),
        tls=_tls(settings),
        refetch=True,
        patience=patience,
    )


def _tls(settings: WatchSettings) -> Tls | None:
    login = settings.login
    return Tls(_path(login.ca), _path(login.certificate), _path(login.private_key)) if login.tls else None


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name).expanduser()
