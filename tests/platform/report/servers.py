"""A DICOMweb server and a PACS on loopback that store, and err as they are told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from osler.sources.dimse import STORAGE_CLASSES, send_at_once

ROOT = "/dicom-web"
TITLE = "PACS"


@dataclass
class Faults:
    """How a server errs.

    Attributes:
        status: HTTP or DIMSE status of the next stores, None to store.
        dropped: Whether it says that it stored, and does not.
        failing: SOP Classes that it refuses one by one, with reason 0xA700.
        coerced: Elements that it writes anew in what it stores.
        kinds: SOP Classes that it knows.
    """

    status: int | None = None
    dropped: bool = False
    failing: set[str] = field(default_factory=set)
    coerced: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = STORAGE_CLASSES


@dataclass
class Store:
    """What a server holds, by SOP Instance UID, and how often it was sent something."""

    faults: Faults = field(default_factory=Faults)
    held: dict[str, bytes] = field(default_factory=dict)
    received: int = 0

    def keep(self, content: bytes) -> Dataset:
        dataset = dcmread(BytesIO(content))
        for keyword, value in self.faults.coerced.items():
            setattr(dataset, keyword, value)
        kept = BytesIO()
        dcmwrite(kept, dataset, enforce_file_format=True)
        if not self.faults.dropped:
            self.held[str(dataset.SOPInstanceUID)] = kept.getvalue()
        return dataset

    def headers(self) -> Iterator[Dataset]:
        for content in self.held.values():
            yield dcmread(BytesIO(content))


class WebStore(Store):
    """A DICOMweb server, running."""

    def __init__(self) -> None:
        super().__init__()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}{ROOT}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(store) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                store.received += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if store.faults.status is not None:
                    self._answer(store.faults.status, b"a patient's name", "text/plain")
                    return
                head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                stored, failed = [], []
                for part in BytesParser().parsebytes(head + body).get_payload():
                    content = part.get_payload(decode=True)
                    kind = str(dcmread(BytesIO(content)).SOPClassUID)
                    uid = str(dcmread(BytesIO(content)).SOPInstanceUID)
                    if kind in store.faults.failing:
                        failed.append(_reference(uid) | {"00081197": {"vr": "US", "Value": [0xA700]}})
                    else:
                        store.keep(content)
                        stored.append(_reference(uid))
                answer: dict[str, Any] = {"00081199": {"vr": "SQ", "Value": stored}}
                if failed:
                    answer["00081198"] = {"vr": "SQ", "Value": failed}
                self._answer(409 if failed else 200, json.dumps(answer).encode())

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                parts = url.path.removeprefix(ROOT).strip("/").split("/")
                if len(parts) == 6:
                    content = b"--e\r\nContent-Type: application/dicom\r\n\r\n" + store.held[parts[5]] + b"\r\n--e--"
                    self._answer(200, content, 'multipart/related; type="application/dicom"; boundary=e')
                    return
                wanted = parse_qs(url.query).get("SOPInstanceUID", [None])[0]
                rows = [
                    {"00080018": {"vr": "UI", "Value": [str(one.SOPInstanceUID)]}}
                    for one in store.headers()
                    if len(parts) < 2 or (one.StudyInstanceUID == parts[1] and wanted in (None, one.SOPInstanceUID))
                ]
                self._answer(200 if rows else 204, json.dumps(rows).encode() if rows else b"")

            def _answer(self, status: int, content: bytes, kind: str = "application/dicom+json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


class PacsStore(Store):
    """A PACS, running; it knows OSLER alone."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults or Faults())
        entity = AE(TITLE)
        entity.require_called_aet = True
        entity.require_calling_aet = ["OSLER"]
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        for kind in self.faults.kinds:
            entity.add_supported_context(kind)
        handlers: Any = [
            (evt.EVT_CONN_OPEN, send_at_once),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
        ]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert self._server is not None
        self.address = f"dicom://{TITLE}@127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        self.received += 1
        if self.faults.status is not None:
            return self.faults.status
        self.keep(event.encoded_dataset())
        return 0

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for one in self.headers():
            if one.SOPInstanceUID == event.identifier.SOPInstanceUID:
                row = Dataset()
                row.QueryRetrieveLevel = "IMAGE"
                row.SOPInstanceUID = one.SOPInstanceUID
                yield 0xFF00, row


def _reference(uid: str) -> dict[str, Any]:
    return {"00081155": {"vr": "UI", "Value": [uid]}}
