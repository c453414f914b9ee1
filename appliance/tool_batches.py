"""Tool calls: told once, answered once, and spoken about when their delivery says so. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from appliance.interfaces import CalledTool, Delivery, HistoryItem, ProviderEvent, ToolCall, ToolDeclaration

_REMEMBERED: Final = 256
_STRENGTH: Final = {Delivery.SILENT: 0, Delivery.WHEN_IDLE: 1, Delivery.IMMEDIATE: 2, Delivery.INTERRUPT: 3}
_AWAITED: Final = frozenset({Delivery.IMMEDIATE, Delivery.INTERRUPT})


class Teller(Protocol):
    """Who is told of calls, and of what nobody needs to be told of."""

    def tell(self, event: ProviderEvent) -> None: ...

    def count(self, code: str) -> None: ...


@dataclass(slots=True)
class Batch:
    """The calls of one response. `wish` is the strongest delivery of results that were not spoken about yet."""

    turn: int
    awaited: set[str] = field(default_factory=set)
    """Calls whose result is waited for before the model speaks about any of them."""
    wish: Delivery = Delivery.SILENT
    muted: bool = False
    """The person wants no answer any more."""

    @property
    def ready(self) -> bool:
        """The model is to speak about its results."""
        return not self.muted and (
            self.wish is Delivery.INTERRUPT or (self.wish is not Delivery.SILENT and not self.awaited)
        )


class ToolBatches:
    """Of one connection, with those of the history that have no result yet."""

    def __init__(
        self, mail: Teller, tools: Iterable[ToolDeclaration], history: Sequence[HistoryItem | CalledTool]
    ) -> None:
        self._mail = mail
        self._declared = {tool.name: tool.delivery for tool in tools}
        self._batches: dict[str, Batch] = {}
        self._open: dict[str, Batch] = {}
        self._seen: dict[str, None] = {}
        for entry in history:
            if isinstance(entry, CalledTool):
                self._seen[entry.call_id] = None
                if entry.outcome is None:
                    self._join("", entry.call_id, entry.tool, entry.turn)

    def made(self, response: str, turn: int, call_id: str, tool: str, arguments: str) -> bool:
        """Tell a call, unless it was told before."""
        if call_id in self._seen:
            return False
        self._seen[call_id] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        self._join(response, call_id, tool, turn)
        self._mail.tell(ToolCall(call_id, tool, arguments, turn))
        return True

    def withdrawn(self, call_id: str) -> bool:
        """A call came that nobody waits for any more. Return whether it is new, and so to be settled."""
        new = call_id not in self._seen
        self._seen[call_id] = None
        return new

    def answered(self, call_id: str, delivery: Delivery) -> Batch | None:
        """The result of a call is sent; None for a call that is unknown or was answered before."""
        batch = self._open.pop(call_id, None)
        if batch is None:
            self._mail.count("unknown_results")
            return None
        batch.awaited.discard(call_id)
        batch.wish = max(batch.wish, delivery, key=_STRENGTH.__getitem__)
        return batch

    def mute(self, response: str) -> None:
        """Nothing is said about the results of this response's calls, unless the person asks again."""
        batch = self._batches.get(response)
        if batch is not None:
            batch.muted = True

    def ready(self) -> list[Batch]:
        """Batches that the model is to speak about."""
        return [batch for batch in self._batches.values() if batch.ready]

    def told(self) -> None:
        """A response is asked for: it has all results that were sent."""
        for batch in self._batches.values():
            batch.wish = Delivery.SILENT
        waiting = {id(batch) for batch in self._open.values()}
        self._batches = {name: batch for name, batch in self._batches.items() if id(batch) in waiting}

    def _join(self, response: str, call_id: str, tool: str, turn: int) -> None:
        batch = self._batches.setdefault(response, Batch(turn))
        batch.turn = max(batch.turn, turn)
        if self._declared.get(tool, Delivery.IMMEDIATE) in _AWAITED:
            batch.awaited.add(call_id)
        self._open[call_id] = batch
