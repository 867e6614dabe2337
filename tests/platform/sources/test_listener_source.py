"""The listener: what it acknowledges it has on disk, whoever may not call is turned away, and a restart forgets nothing."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MPEG4HP41, JPEG2000Lossless
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from osler.archive import Archive
from osler.ingest import ingest
from osler.ingest.source import Arrival
from osler.sources import inbox
from osler.sources.listener import ListenerSource, ListenOptions
from osler.sources.web_client import Patience
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .pacs_server import as_stored

MakeRadiograph = Callable[..., Dataset]
Make = Callable[..., ListenerSource]
KEY = b"k" * 32


@pytest.fixture
def listener(workspace: Workspace) -> Make:
    """Return a maker of listeners at a free port."""

    def make(site: str = "a", **options: object) -> ListenerSource:
        given = ListenOptions(idle_s=30, patience=Patience(timeout_s=5))
        return ListenerSource("127.0.0.1", 0, workspace, site, replace(given, **options))  # type: ignore[arg-type]

    return make


def call(port: int, datasets: list[Dataset], title: str = "SENDER", called: str = "OSLER") -> Association:
    entity = AE(title)
    entity.acse_timeout = entity.dimse_timeout = 10
    pairs = {(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in datasets}
    contexts = [build_context(storage, syntax) for storage, syntax in pairs] + [build_context(Verification)]
    return entity.associate("127.0.0.1", port, contexts=contexts, ae_title=called)


def send(port: int, datasets: list[Dataset]) -> list[int | None]:
    """Send data sets and return the status of each."""
    association = call(port, datasets)
    assert association.is_established
    statuses = [association.send_c_store(item).get("Status") for item in datasets]
    association.release()
    return statuses


def spooled(workspace: Workspace) -> list[Path]:
    return sorted(path for path in (workspace.root / "spool").rglob("*.dcm"))


def test_success_means_on_disk(listener: Make, workspace: Workspace, make_radiograph: MakeRadiograph) -> None:
    films = [as_stored(make_radiograph(number)) for number in range(3)]
    films[1].compress(JPEG2000Lossless, generate_instance_uid=False)
    with listener(until=3) as source:
        for number, film in enumerate(films, 1):
            assert send(source.port, [film]) == [0]
            assert len(spooled(workspace)) == number
        arrivals = list(source)
    received = [dcmread(BytesIO(arrival.path.read_bytes())) for arrival in arrivals]
    assert received == films
    assert [item.file_meta.TransferSyntaxUID for item in received] == [
        item.file_meta.TransferSyntaxUID for item in films
    ]
    source.settled(arrivals)
    assert spooled(workspace) == []


def test_what_was_not_settled_comes_first_after_a_restart(
    listener: Make, workspace: Workspace, make_radiograph: MakeRadiograph
) -> None:
    films = [as_stored(make_radiograph(number)) for number in range(4)]
    with listener(until=3) as source:
        send(source.port, films[:3])
        arrivals = list(source)
        source.settled(arrivals[:1])
    with listener(site="b", idle_s=0.1) as other:
        assert list(other) == []  # another site's spool is another
    with listener(until=1) as source:
        send(source.port, films[3:])
        again = [dcmread(arrival.path).SOPInstanceUID for arrival in source]
    assert again == [film.SOPInstanceUID for film in films[1:]]


def test_the_same_instance_twice_is_two_arrivals(listener: Make, make_radiograph: MakeRadiograph) -> None:
    films = [as_stored(make_radiograph(1)), as_stored(make_radiograph(1, PatientSex="M"))]
    with listener(until=2) as source:
        assert send(source.port, films) == [0, 0]
        assert [dcmread(arrival.path).PatientSex for arrival in source] == ["F", "M"]


def test_an_association_broken_off_leaves_nothing(
    listener: Make, workspace: Workspace, make_radiograph: MakeRadiograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = as_stored(make_radiograph(1, np.zeros((400, 400), "<u2")))  # of several packets
    with listener(idle_s=0.3) as source:
        association = call(source.port, [film])
        connection = association.dul.socket
        assert connection is not None
        plain, sent = connection.send, []

        def cut(data: bytes) -> None:
            sent.append(len(data))
            plain(data)
            if len(sent) == 2:  # the command, and the first piece of the data set
                assert connection.socket is not None
                connection.socket.shutdown(socket.SHUT_RDWR)

        monkeypatch.setattr(connection, "send", cut)
        assert association.send_c_store(film).get("Status") is None
        assert list(source) == []
    assert [path for path in (workspace.root / "spool").rglob("*") if path.is_file() and path.suffix == ".dcm"] == []


def test_callers_and_titles(listener: Make, make_radiograph: MakeRadiograph) -> None:
    film = as_stored(make_radiograph(1))
    with listener(callers=["SENDER"]) as source:
        assert call(source.port, [film], title="STRANGER").is_rejected
        assert call(source.port, [film], called="ELSEWHERE").is_rejected
        association = call(source.port, [film])
        assert association.is_established
        assert association.send_c_echo().Status == 0
        association.release()


def test_only_syntaxes_that_can_be_decoded(listener: Make, make_radiograph: MakeRadiograph) -> None:
    film = as_stored(make_radiograph(1))
    film.file_meta.TransferSyntaxUID = MPEG4HP41
    with listener() as source:
        association = call(source.port, [film])
        accepted = {context.transfer_syntax[0] for context in association.accepted_contexts}
        association.release()
    assert MPEG4HP41 not in accepted


def test_after_the_limit_senders_are_told_to_come_back(
    listener: Make, workspace: Workspace, make_radiograph: MakeRadiograph
) -> None:
    films = [as_stored(make_radiograph(number)) for number in range(4)]
    with listener(until=2) as source:
        assert send(source.port, films) == [0, 0, 0xA700, 0xA700]
        assert len(list(source)) == 2
    assert len(spooled(workspace)) == 2


def test_a_full_disk_is_no_success(
    listener: Make, workspace: Workspace, make_radiograph: MakeRadiograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "SPARE_BYTES", 1 << 62)
    with listener(idle_s=0.1) as source:
        assert send(source.port, [as_stored(make_radiograph(1))]) == [0xA700]
        assert list(source) == []
    assert spooled(workspace) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_receiving_and_settles_what_came(
    listener: Make, make_radiograph: MakeRadiograph, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with listener(idle_s=None) as source:
        send(source.port, [as_stored(make_radiograph(item)) for item in range(3)])
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        assert len(list(source)) == 3
    assert signal.getsignal(number) is before


def test_several_senders_at_once(listener: Make, make_radiograph: MakeRadiograph) -> None:
    films = [as_stored(make_radiograph(number)) for number in range(12)]
    statuses: list[int | None] = []
    with listener(until=12) as source:
        senders = [
            threading.Thread(target=lambda part=films[start::4]: statuses.extend(send(source.port, part)))
            for start in range(4)
        ]
        for sender in senders:
            sender.start()
        arrivals: list[Arrival] = list(source)
        for sender in senders:
            sender.join()
        received = {dcmread(arrival.path).SOPInstanceUID for arrival in arrivals}
    assert statuses == [0] * 12
    assert received == {film.SOPInstanceUID for film in films}


def test_what_came_is_archived_while_the_listener_waits(
    listener: Make, workspace: Workspace, make_radiograph: MakeRadiograph
) -> None:
    source = listener(idle_s=None)
    seen: list[int] = []

    def watch(done: int, total: int | None) -> None:
        seen.append(len(Archive(workspace).studies()))
        if done < 2:
            threading.Thread(target=send, args=(source.port, [as_stored(make_radiograph(2))])).start()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def send_first() -> None:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", source.port), 1):
                break
            time.sleep(0.05)
        send(source.port, [as_stored(make_radiograph(1))])

    threading.Thread(target=send_first, daemon=True).start()
    summary = ingest(source, site="a", workspace=workspace, key=KEY, workers=0, progress=watch)
    assert (summary.accepted, seen) == (2, [1, 2])
    assert spooled(workspace) == []


def test_a_port_in_use(listener: Make, workspace: Workspace) -> None:
    with listener() as source:
        other = ListenerSource("127.0.0.1", source.port, workspace, "b", ListenOptions())
        with pytest.raises(OslerError) as caught, other:
            pass
    assert caught.value.code is Code.ADDRESS_OCCUPIED
