"""A reader without a screen: opens and corrects studies over the dashboard's own websocket, and draws nothing.

It sends what a browser sends (Streamlit's protobuf messages), claims the messages that a browser would still hold, and waits
until the server has said all that a browser would draw. So a server can be loaded by many readers without as many browsers
taking its cores. It leaves out what a page asks by itself every 30 s: whether its session has ended.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.BidiComponent_pb2 import BidiComponent
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

EVENTS = "$$STREAMLIT_INTERNAL_KEY_{}__events"  # what an event of a component is sent under
LIST, SIGNS, PICTURE, BACK = "worklist", "evidence", "parcel-0", "to-worklist"  # keys of what the pages hold
AGE = 2  # runs for which a browser holds a message (Streamlit's `global.maxCachedMessageAge`)
WAIT_S = 60.0


@dataclass
class Part:
    """A component or button as it was sent last."""

    id: str
    fragment: str
    data: Any = field(repr=False)


class ReaderSession:
    """One signed-in reader, whose worklist is before them.

    Args:
        entry: The one-time address.
    """

    def __init__(self, entry: str) -> None:
        jar = CookieJar()
        build_opener(HTTPCookieProcessor(jar)).open(entry).read()
        place = urlsplit(entry).netloc
        self._socket = connect(
            f"ws://{place}/_stcore/stream",
            additional_headers={"Cookie": "; ".join(f"{one.name}={one.value}" for one in jar)},
            origin=Origin(f"http://{place}"),
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
            compression=None,
        )
        self._page, self._runs, self._state = "", 0, threading.Condition()
        self._parts: dict[str, Part] = {}
        self._held: dict[str, tuple[int, ForwardMsg]] = {}
        self.received = 0
        threading.Thread(target=self._listen, daemon=True).start()
        self._send()
        self._wait(lambda: LIST in self._parts)

    def _listen(self) -> None:
        try:
            for message in self._socket:
                self.received += len(message)
                with self._state:
                    self._take(ForwardMsg.FromString(bytes(message)))  # type: ignore[arg-type]
                    self._state.notify_all()
        except ConnectionClosed:
            return

    def _take(self, told: ForwardMsg) -> None:
        kind = told.WhichOneof("type")
        if kind == "ref_hash":
            _, told = self._held[told.ref_hash]
            kind = told.WhichOneof("type")
        if told.metadata.cacheable:  # held anew where it was referred to
            self._held[told.hash] = (self._runs, told)
        if kind == "new_session" and not told.metadata.run.fragment_ids:
            self._page = told.new_session.page_script_hash
        elif kind == "navigation":
            self._page = told.navigation.page_script_hash
        elif kind == "script_finished" and told.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
            self._runs += 1
            self._held = {name: one for name, one in self._held.items() if self._runs - one[0] <= AGE}
        elif kind == "delta":
            self._draw(told)

    def _draw(self, told: ForwardMsg) -> None:
        element = told.delta.new_element
        kind = element.WhichOneof("type")
        if kind not in ("bidi_component", "button"):
            return
        made = getattr(element, kind)
        name = made.id.split("-", 2)[-1]  # `$$ID-HASH-KEY`
        if name in (LIST, SIGNS, PICTURE, BACK):
            data = _data(made) if kind == "bidi_component" else None
            self._parts[name] = Part(made.id, told.delta.fragment_id, data)

    def _send(self, part: str = "", event: str = "", value: Any = None) -> None:
        message = BackMsg()
        state = message.rerun_script
        with self._state:
            state.page_script_hash = self._page
            state.cached_message_hashes.extend(self._held)
            if part:
                held = self._parts[part]
                state.fragment_id = held.fragment
                widget = state.widget_states.widgets.add()
                if event:
                    widget.id = EVENTS.format(held.id)
                    widget.json_trigger_value = json.dumps([{"event": event, "value": value}])
                else:
                    widget.id, widget.trigger_value = held.id, True
        self._socket.send(message.SerializeToString())

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._state:
            if not self._state.wait_for(done, WAIT_S):
                raise TimeoutError("The server has not said what the page holds.")

    def _timed(self, begin: Callable[[], None], done: Callable[[], bool]) -> float:
        began = time.perf_counter()
        begin()
        self._wait(done)
        return 1000 * (time.perf_counter() - began)

    @property
    def names(self) -> list[str]:
        """Names of the studies in the list."""
        return [str(row["name"]) for row in self._parts[LIST].data["rows"]]

    def open(self, name: str) -> float:
        """Open a study from the list; return the milliseconds until its image and its signs have arrived."""
        order = list(range(len(self.names)))
        self._forget(SIGNS, PICTURE, BACK)
        return self._timed(lambda: self._send(LIST, "opened", {"name": name, "order": order}), lambda: self._has(name))

    def _has(self, name: str) -> bool:
        signs, picture = self._parts.get(SIGNS), self._parts.get(PICTURE)
        return (
            signs is not None
            and picture is not None
            and signs.data["study"] == name
            and str(picture.data["key"]).startswith(f"{name}|")
        )

    def correct(self, answer: str) -> float:
        """Answer the second sign of the list; return the milliseconds until the list says so."""
        sign = self._parts[SIGNS].data["rows"][1]["id"]
        return self._timed(
            lambda: self._send(SIGNS, "answered", {"sign": sign, "answer": answer}),
            lambda: any((row["id"], row["answer"]) == (sign, answer) for row in self._parts[SIGNS].data["rows"]),
        )

    def back(self) -> float:
        """Go back to the list; return the milliseconds until it has arrived."""
        self._wait(lambda: BACK in self._parts)
        self._forget(LIST)
        return self._timed(lambda: self._send(BACK), lambda: LIST in self._parts)

    def _forget(self, *parts: str) -> None:
        with self._state:
            for part in parts:
                self._parts.pop(part, None)

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def _data(made: BidiComponent) -> Any:
    """Return what a component was told; of a parcel, the header, whose length comes first."""
    kind = made.WhichOneof("data")
    if kind == "bytes" and made.bytes.startswith(b"{"):
        return json.loads(made.bytes)
    if kind == "bytes":
        size = int.from_bytes(made.bytes[:4], "little")
        return json.loads(made.bytes[4 : 4 + size])
    return json.loads(made.mixed.json if kind == "mixed" else made.json)
