"""Server-sent events of a streamed answer, from bytes as they come. Pure.

Source: the HTML standard's event stream format. Of an event only its data is used, which is one JSON object for all
services that are spoken to here; a body that is one JSON object itself counts as one event.
"""

import json
from typing import Any, Final

LINE_BOUND: Final = 1024 * 1024
"""Bytes of a line, and of an event's data: beyond it, it is passed over."""
DONE: Final = b"[DONE]"
Json = dict[str, Any]


class EventReader:
    """Bytes go in, chopped anywhere; events come out. `passed_over` counts what was no JSON object, or too long."""

    def __init__(self, *, stream: bool = True) -> None:
        self.passed_over = 0
        self.done = False
        """The service has said that nothing more comes."""
        self._stream = stream
        self._line = bytearray()
        self._line_too_long = False
        self._data: list[bytes] = []
        self._size = 0
        self._event_too_long = False
        self._after_return = False

    def feed(self, chunk: bytes) -> list[Json]:
        if not self._stream:
            self._extend(chunk)
            return []
        events: list[Json] = []
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r") if chunk else self._after_return
        *whole, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            self._extend(line)
            self._end_line(events)
        self._extend(rest)
        return events

    def end(self) -> list[Json]:
        """The body has ended: its last event may want the empty line after it."""
        events: list[Json] = []
        if self._stream:
            if self._line or self._line_too_long:
                self._end_line(events)
        else:
            self._data = [bytes(self._line)]
            self._event_too_long = self._line_too_long
        self._end_event(events)
        return events

    def _extend(self, part: bytes) -> None:
        if len(self._line) + len(part) > LINE_BOUND:
            self._line_too_long = True
        if not self._line_too_long:
            self._line += part

    def _end_line(self, events: list[Json]) -> None:
        line, self._line = bytes(self._line), bytearray()
        if self._line_too_long:
            self._line_too_long = False
            self._event_too_long = True
        elif not line:
            self._end_event(events)
        elif line.startswith(b"data:"):
            self._add(line.removeprefix(b"data:").removeprefix(b" "), events)

    def _add(self, value: bytes, events: list[Json]) -> None:
        # Some servers leave out the empty line between events: data that is whole by itself is an event.
        if self._data and self._is_whole() and (value.startswith(b"{") or value.strip() == DONE):
            self._end_event(events)
        self._size += len(value)
        if self._size <= LINE_BOUND:
            self._data.append(value)
        else:
            self._event_too_long = True

    def _is_whole(self) -> bool:
        return self._data[0].startswith(b"{") and self._data[-1].rstrip().endswith(b"}")

    def _end_event(self, events: list[Json]) -> None:
        data, self._data, self._size = b"\n".join(self._data).strip(), [], 0
        if self._event_too_long:
            self._event_too_long = False
            self.passed_over += 1
        elif data == DONE:
            self.done = True
        elif data:
            event = _parsed(data)
            if isinstance(event, dict):
                events.append(event)
            else:
                self.passed_over += 1


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
