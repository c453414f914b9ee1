"""What each command does. One coroutine or function a command; the table at the end is the index."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from appliance.control.client_line import ClientLine
from appliance.control.ports import Actions, CallsPort, LinePort, LinesPort, SessionPort, StorePort
from appliance.control.protocol import COMMANDS, ON_REQUEST, TOPICS, Request, Scope, Unsupported
from appliance.errors import (
    Forbidden,
    LineBusy,
    NotPossible,
    RequestInvalid,
    StoreUnavailable,
    TelephoneUnavailable,
)
from appliance.interfaces import LineKind

Data = Mapping[str, Any]

ROOM: Final = "room"
DEFAULT_TOPICS: Final = tuple(topic for topic in TOPICS if topic not in ON_REQUEST)
_USABLE: Final = frozenset({"present", "recovered"})
IN_BACKGROUND: Final = frozenset({"config.reload", "diagnose"})
"""Commands that may take seconds: the connection goes on being read meanwhile."""


class Caller(Protocol):
    """The connection that a command came on."""

    scope: Scope
    talk: ClientLine | None

    def subscribe(self, topics: tuple[str, ...]) -> None: ...

    def begin_talk(self, line: LinePort, session: SessionPort, rate: int) -> None: ...

    async def end_talk(self, reason: str) -> None: ...


class Commands:
    """Carries commands out on the appliance's parts. An ApplianceError that a part raises is the caller's answer."""

    def __init__(
        self,
        lines: LinesPort[Any],
        calls: CallsPort | None,
        store: StorePort | None,
        actions: Actions,
        snapshot: Callable[[], Data],
    ) -> None:
        self._lines = lines
        self._calls = calls
        self._store = store
        self._actions = actions
        self._snapshot = snapshot

    def capabilities(self) -> list[str]:
        """The commands that this appliance carries out."""
        missing = {"agent.transfer", "behaviour.set"}
        if self._calls is None:
            missing |= {name for name in COMMANDS if name.startswith("call.")}
        if self._store is None:
            missing |= {"history.list", "history.get", "history.calls"}
        wanting = {"config.reload": self._actions.reload, "diagnose": self._actions.diagnose}
        missing |= {name for name, action in wanting.items() if action is None}
        return [name for name in COMMANDS if name not in missing]

    async def carry_out(self, caller: Caller, request: Request) -> Data:
        """Do it and return the result's data; raise the ApplianceError that answers it."""
        answer = HANDLERS[request.command](self, caller, request)
        return answer if isinstance(answer, Mapping) else await answer

    def ping(self, caller: Caller, request: Request) -> Data:
        return {}

    def status(self, caller: Caller, request: Request) -> Data:
        return self._snapshot()

    def subscribe(self, caller: Caller, request: Request) -> Data:
        topics = DEFAULT_TOPICS if request["topics"] is None else request["topics"]
        caller.subscribe(topics)
        return {"topics": list(topics)}

    async def open_session(self, caller: Caller, request: Request) -> Data:
        if caller.talk is not None:
            raise LineBusy(
                f"this connection has the session {caller.talk.session.id}",
                hint="close it, or open another connection",
            )
        rate = request["sample_rate"]
        line = self._lines.open_line(LineKind.CLIENT, capture_rate=rate, playout_rate=rate)
        try:
            session = self._lines.open_session(line, agent=request["agent"], user=request["user"])
            caller.begin_talk(line, session, rate)
        except BaseException:
            await self._lines.close_line(line.id, "refused")
            raise
        return {"session": session.id, "line": line.id, "sample_rate": rate}

    async def close_session(self, caller: Caller, request: Request) -> Data:
        session = self._session(caller, request)
        if caller.talk is not None and caller.talk.session.id == session.id:
            await caller.end_talk("closed by the client")
        else:
            await session.close("closed over the control API")
        return {"session": session.id}

    def interrupt(self, caller: Caller, request: Request) -> Data:
        session = self._session(caller, request)
        session.interrupt("control")
        return {"session": session.id}

    def text(self, caller: Caller, request: Request) -> Data:
        session = self._session(caller, request)
        return {"session": session.id, "turn": session.send_text(request["text"])}

    def say(self, caller: Caller, request: Request) -> Data:
        session = self._addressed(caller, request)
        said = session.say(
            request["text"], interruptible=request["interruptible"], priority=request["priority"]
        )
        return {"session": session.id, "utterance": said, **self._unheard(session)}

    def notify(self, caller: Caller, request: Request) -> Data:
        session = self._addressed(caller, request)
        session.notify(request["text"], label=request["label"], urgent=request["priority"] == "high")
        return {"session": session.id, **self._unheard(session)}

    def not_supported(self, caller: Caller, request: Request) -> Data:
        raise Unsupported(
            f"{request.command} is not supported by this version", hint="hello.capabilities lists what is"
        )

    def mute(self, caller: Caller, request: Request) -> Data:
        line = self._line(caller, request)
        line.set_muted(request["on"])
        return {"line": line.id, "on": request["on"]}

    def volume(self, caller: Caller, request: Request) -> Data:
        line = self._line(caller, request)
        return {"line": line.id, "level": line.set_volume(request["level"])}

    def press(self, caller: Caller, request: Request) -> Data:
        line = self._line(caller, request)
        line.press()
        return {"line": line.id}

    def release(self, caller: Caller, request: Request) -> Data:
        line = self._line(caller, request)
        line.release()
        return {"line": line.id}

    def dial(self, caller: Caller, request: Request) -> Data:
        phone = self._phone()
        self._lines.require_agent(request["agent"])
        where = {name: request[name] for name in ("agent", "account", "line")}
        return {"call": phone.dial(request["to"], **where)}

    def answer(self, caller: Caller, request: Request) -> Data:
        return {"call": self._phone().answer(request["call"], line=request["line"])}

    def reject(self, caller: Caller, request: Request) -> Data:
        return {"call": self._phone().reject(request["call"])}

    def hang_up(self, caller: Caller, request: Request) -> Data:
        return {"call": self._phone().hang_up(request["call"])}

    def hold(self, caller: Caller, request: Request) -> Data:
        return {"call": self._phone().hold(request["call"])}

    def resume(self, caller: Caller, request: Request) -> Data:
        return {"call": self._phone().resume(request["call"])}

    def transfer(self, caller: Caller, request: Request) -> Data:
        phone = self._phone()
        summary = request["summary"]
        return {"call": phone.transfer(request["call"], request["to"], mode=request["mode"], summary=summary)}

    def dtmf(self, caller: Caller, request: Request) -> Data:
        return {"call": self._phone().send_dtmf(request["call"], request["digits"])}

    def do_not_disturb(self, caller: Caller, request: Request) -> Data:
        self._phone().set_do_not_disturb(request["on"])
        return {"on": request["on"]}

    def record(self, caller: Caller, request: Request) -> Data:
        call = self._phone().record(request["call"], request["on"], request["paused"])
        return {"call": call, "on": request["on"]}

    async def list_history(self, caller: Caller, request: Request) -> Data:
        store = self._history()
        return {"sessions": await asyncio.to_thread(store.list_sessions, request["limit"], request["before"])}

    async def get_history(self, caller: Caller, request: Request) -> Data:
        store = self._history()
        return await asyncio.to_thread(store.get_session, request["session"])

    async def list_calls(self, caller: Caller, request: Request) -> Data:
        store = self._history()
        return {"calls": await asyncio.to_thread(store.list_calls, request["limit"], request["before"])}

    async def reload(self, caller: Caller, request: Request) -> Data:
        if self._actions.reload is None:
            return self.not_supported(caller, request)
        return await self._actions.reload()

    async def diagnose(self, caller: Caller, request: Request) -> Data:
        if self._actions.diagnose is None:
            return self.not_supported(caller, request)
        return await self._actions.diagnose()

    def _session(self, caller: Caller, request: Request) -> SessionPort:
        wanted, own = request["session"], caller.talk.session if caller.talk else None
        if own is not None and wanted in (None, own.id):
            return own
        if wanted is None:
            raise RequestInvalid(
                f"{request.command} needs the field `session`", hint="status lists the sessions"
            )
        if not caller.scope.includes(Scope.CONTROL):
            raise Forbidden(
                "this token may only talk in the session of its own connection",
                hint="the scope control may in all",
            )
        return self._lines.session(wanted)

    def _line(self, caller: Caller, request: Request) -> LinePort:
        own = caller.talk.line.id if caller.talk else ROOM
        line: LinePort = self._lines.line(request["line"] or own)
        return line

    def _addressed(self, caller: Caller, request: Request) -> SessionPort:
        """The session named, or that of the line named; an idle room gets one so that it can be spoken to."""
        if request["session"] is not None:
            return self._session(caller, request)
        line = self._line(caller, request)
        if line.session is not None:
            return line.session
        if line.id != ROOM:
            raise NotPossible(f"nobody is on the line {line.id}", hint="status lists the sessions")
        return self._lines.open_session(line, greeting=False)

    def _unheard(self, session: SessionPort) -> Data:
        """A warning where the session's line has no speaker that works."""
        for line in self._lines.status().get("lines", ()):
            speaker = line.get("device", {}).get("output", {}).get("state")
            if line.get("kind") == ROOM and line.get("session") == session.id and speaker not in _USABLE:
                return {
                    "warning": f"the line {line['id']} has no speaker: nobody hears it until there is one"
                }
        return {}

    def _phone(self) -> CallsPort:
        if self._calls is None:
            raise TelephoneUnavailable("there is no telephone line", hint="set sip.enabled = true")
        return self._calls

    def _history(self) -> StorePort:
        if self._store is None:
            raise StoreUnavailable("there is no history")
        return self._store


Handler = Callable[[Commands, Caller, Request], Data | Awaitable[Data]]

HANDLERS: Final[Mapping[str, Handler]] = {
    "ping": Commands.ping,
    "status": Commands.status,
    "subscribe": Commands.subscribe,
    "session.open": Commands.open_session,
    "session.close": Commands.close_session,
    "session.interrupt": Commands.interrupt,
    "text": Commands.text,
    "say": Commands.say,
    "notify": Commands.notify,
    "agent.transfer": Commands.not_supported,
    "behaviour.set": Commands.not_supported,
    "mute": Commands.mute,
    "volume": Commands.volume,
    "ptt.press": Commands.press,
    "ptt.release": Commands.release,
    "call.dial": Commands.dial,
    "call.answer": Commands.answer,
    "call.reject": Commands.reject,
    "call.hangup": Commands.hang_up,
    "call.hold": Commands.hold,
    "call.resume": Commands.resume,
    "call.transfer": Commands.transfer,
    "call.dtmf": Commands.dtmf,
    "call.dnd": Commands.do_not_disturb,
    "call.record": Commands.record,
    "history.list": Commands.list_history,
    "history.get": Commands.get_history,
    "history.calls": Commands.list_calls,
    "config.reload": Commands.reload,
    "diagnose": Commands.diagnose,
}
