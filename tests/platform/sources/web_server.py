"""A DICOMweb server on loopback that errs as it is told: what a real one would not do on demand."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = "/dicom-web"
USER, PASSWORD = "osler", "päss word"


@dataclass
class Faults:
    """How the server errs.

    Attributes:
        cap: Most results of a page, whatever was asked for.
        deaf_to_offset: Answer every page with the first.
        counts: What to say of a study's number of instances, by study; None for nothing.
        status: Status to answer instead, by the last part of the path; how often.
        cut: Break off in the middle of the answer, by the last part of the path; how often.
        envelope: Whether instances come as `multipart/related`.
    """

    cap: int = 1000
    deaf_to_offset: bool = False
    counts: dict[str, int | None] = field(default_factory=dict)
    status: dict[str, tuple[int, int]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    envelope: bool = True


class WebServer:
    """The server, running.

    Args:
        instances: Content of each instance by study, series and SOP instance UID.
    """

    def __init__(self, instances: dict[tuple[str, str, str], bytes], login: bool = False) -> None:
        self.instances = instances
        self.faults = Faults()
        self.login = login
        self.asked: Counter[str] = Counter()
        self.queries: list[dict[str, list[str]]] = []
        self.accepts: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{ROOT}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fetched(self) -> Counter[str]:
        """Return how often each instance was asked for."""
        return Counter({path.rsplit("/", 1)[1]: count for path, count in self.asked.items() if "/instances/" in path})

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                server.asked[url.path] += 1
                last = url.path.rsplit("/", 1)[1]
                status, times = server.faults.status.get(last, (200, 0))
                if server.login and self.headers.get("Authorization") != _basic():
                    self._answer(401, b"")
                elif times:
                    server.faults.status[last] = (status, times - 1)
                    self._answer(status, b"a patient's name")
                else:
                    self._route(url.path, parse_qs(url.query))

            def _route(self, path: str, query: dict[str, list[str]]) -> None:
                parts = path.removeprefix(ROOT).strip("/").split("/")
                if not path.startswith(ROOT):
                    # As Orthanc's own interface: names, not data sets.
                    self._answer(200, json.dumps(["5f1c", "77ab"]).encode(), "application/json")
                elif parts == ["studies"]:
                    server.queries.append(query)
                    self._list(sorted({study for study, _, _ in server.instances}), server._study, query)
                elif len(parts) == 3:
                    found = sorted(name for name in server.instances if name[0] == parts[1])
                    self._list(found, _instance, query)
                else:
                    server.accepts.add(self.headers.get("Accept", ""))
                    self._instance(server.instances.get((parts[1], parts[3], parts[5])))

            def _list(self, found: list[Any], row: Callable[[Any], object], query: dict[str, list[str]]) -> None:
                offset = 0 if server.faults.deaf_to_offset else int(query.get("offset", ["0"])[0])
                limit = min(server.faults.cap, int(query["limit"][0]))
                rows = [row(item) for item in found[offset : offset + limit]]
                self._answer(200 if rows else 204, json.dumps(rows).encode() if rows else b"", "application/dicom+json")

            def _instance(self, content: bytes | None) -> None:
                if content is None:
                    self._answer(404, b"")
                    return
                kind = "application/dicom"
                if server.faults.envelope:
                    kind = 'multipart/related; type="application/dicom"; boundary=edge'
                    content = b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--edge--\r\n"
                self._answer(200, content, kind)

            def _answer(self, status: int, content: bytes, kind: str = "text/plain") -> None:
                last = urlsplit(self.path).path.rsplit("/", 1)[1]
                cut = bool(server.faults.cut.get(last)) and status == 200
                if cut:
                    server.faults.cut[last] -= 1
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if cut else content)

        return Handler

    def _study(self, study: str) -> object:
        count = sum(1 for name in self.instances if name[0] == study)
        told = self.faults.counts.get(study, count)
        row = {"0020000D": {"vr": "UI", "Value": [study]}, "00100010": {"vr": "PN"}}
        return row if told is None else row | {"00201208": {"vr": "IS", "Value": [told]}}


def _instance(name: tuple[str, str, str]) -> object:
    return {
        tag: {"vr": "UI", "Value": [uid]} for tag, uid in zip(("0020000D", "0020000E", "00080018"), name, strict=True)
    }


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
