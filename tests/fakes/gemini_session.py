"""One connection to the fake of Gemini Live: what it hears, knows and says; it finds speech itself."""

import asyncio
import base64
import copy
import json
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from websockets.asyncio.server import ServerConnection

from tests.fakes.gemini_answers import (
    ONSET_MS,
    RATE,
    Activity,
    Answer,
    Call,
    CallTool,
    Memory,
    Samples,
    Say,
    SayNothing,
    answer_sound,
    loud_ms,
)
from tests.fakes.gemini_wire import MESSAGES, Refused, camel, check, one_of, pcm_of
from tests.fakes.socket_service import SocketLink

if TYPE_CHECKING:
    from tests.fakes.gemini_live import GeminiServer

MODELS = ("models/gemini-3.8-live", "models/gemini-3.1-flash-live-preview")
CHUNK_MS = 40


class LiveSession(SocketLink):
    """One connection. `activities` are what it heard, `memory` what it knows, `received` its messages but audio."""

    def __init__(self, server: "GeminiServer", socket: ServerConnection) -> None:
        super().__init__(server, socket)
        self.server = server
        self.setup: dict[str, Any] = {}
        self.tools: dict[str, bool] = {}
        self.memory = Memory()
        self.activities: list[Activity] = []
        self.received: list[dict[str, Any]] = []
        self.resumed_from = ""
        self.handle = ""
        self.said: list[tuple[int, int]] = []
        """(number of the answer, samples of it that were sent)"""
        self.ready = False
        """It is set up."""
        self._seeding = False
        self._open: Activity | None = None
        self._talking: asyncio.Task[None] | None = None
        self._sounded = False
        self._idle_work: deque[Call] = deque()
        self._loud_ms = 0.0
        self._quiet_ms = 0.0
        self._pre_roll: deque[bytes] = deque(maxlen=15)

    # --- the wire ---

    async def run(self) -> None:
        try:
            await self._converse()
        except Refused as refusal:
            self.violate(str(refusal))
            await self.socket.close(refusal.code, str(refusal)[:120])

    async def _converse(self) -> None:
        await self._set_up(self._message(await self.socket.recv()))
        async for raw in self.socket:
            message = self._message(raw)
            kind = one_of(message, "the message")
            if kind == "setup":
                raise Refused("setup stands once, and first")
            if kind != "realtimeInput" or "audio" not in message[kind]:
                self.received.append(message)
            await {
                "realtimeInput": self._realtime,
                "clientContent": self._content,
                "toolResponse": self._tool_response,
            }[kind](message[kind])

    def _message(self, raw: bytes | str) -> dict[str, Any]:
        try:
            message = camel(json.loads(raw))
        except ValueError:
            raise Refused("Invalid JSON payload received.") from None
        check(message, MESSAGES, "message")
        return dict(message)

    async def send(self, **message: Any) -> None:
        """As the service does, in a binary frame."""
        await self.say_raw(json.dumps(message).encode())

    async def _set_up(self, message: dict[str, Any]) -> None:
        if one_of(message, "the message") != "setup":
            raise Refused("setup must be the first message")
        setup = self.setup = message["setup"]
        self._check_model(setup)
        for tool in setup.get("tools", []):
            for declared in tool["functionDeclarations"]:
                self.tools[declared["name"]] = declared.get("behavior", "NON_BLOCKING") == "BLOCKING"
        handle = setup.get("sessionResumption", {}).get("handle", "")
        self._seeding = setup.get("historyConfig", {}).get("initialHistoryInClientContent", False)
        if handle and self._seeding:
            raise Refused("a session is resumed or seeded, never both")
        if not await self.server.greet(self):
            return
        if handle:
            known = self.server.handles.get(handle)
            if known is None:
                await self.socket.close(1007, "Request contains an invalid argument.")
                return
            self.resumed_from = self.handle = handle
            self.memory = copy.deepcopy(known)
        self.ready = True
        await self.send(setupComplete={"sessionId": f"session-{len(self.server.sessions)}"})
        self.server.greeted(self)

    @staticmethod
    def _check_model(setup: dict[str, Any]) -> None:
        config = setup.get("generationConfig", {})
        if setup.get("model") not in MODELS:
            raise Refused(f"{setup.get('model')} is not found for API version v1", 1008)
        if setup["model"] == MODELS[0]:
            if setup.get("proactivity", {}).get("proactiveAudio") is False:
                raise Refused("proactive audio cannot be turned off")
            if "thinkingLevel" in config.get("thinkingConfig", {}):
                raise Refused("thinking level is not supported for this model")
        if config.get("responseModalities") != ["AUDIO"]:
            raise Refused("the model speaks, and nothing else")

    # --- input ---

    @property
    def _manual(self) -> bool:
        detection = self.setup.get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
        return bool(detection.get("disabled", False))

    async def _realtime(self, message: dict[str, Any]) -> None:
        if self._seeding:
            raise Refused("realtime input before the history is complete")
        kind = one_of(message, "realtimeInput")
        if kind == "audio":
            await self._audio(*pcm_of(message["audio"]))
        elif kind == "text" and self._open is not None:
            self._open.text += message["text"]
        elif kind == "text":
            await self._heard(message["text"])
        elif kind == "audioStreamEnd":
            if self._manual:
                raise Refused("audioStreamEnd is for automatic activity detection")
            await self._speech_ended()
        elif not self._manual:
            raise Refused(f"{kind} while automatic activity detection is on")
        elif kind == "activityStart":
            if self._open is not None:
                raise Refused("activityStart in an activity")
            self._open = Activity()
            self.activities.append(self._open)
            if self._handling != "NO_INTERRUPTION":
                await self._interrupt()
        else:
            if self._open is None:
                raise Refused("activityEnd without an activity")
            await self._activity_ended()

    @property
    def _handling(self) -> str:
        return str(self.setup.get("realtimeInputConfig", {}).get("activityHandling", ""))

    async def _audio(self, pcm: bytes, rate: int) -> None:
        if any(call.blocking and call.state == "pending" for call in self.memory.calls.values()):
            raise Refused("audio during a blocking tool call", 1008)
        if self._manual:
            if self._open is None:
                raise Refused("audio outside an activity")
            self._open.take(pcm)
        else:
            await self._detect(pcm, rate)

    async def _detect(self, pcm: bytes, rate: int) -> None:
        length = len(pcm) / 2 / rate * 1000
        loud = loud_ms(np.frombuffer(pcm, dtype="<i2"), rate) > 0
        self._loud_ms = self._loud_ms + length if loud else 0.0
        self._quiet_ms = 0.0 if loud else self._quiet_ms + length
        if self._open is None:
            self._pre_roll.append(pcm)
            if self._loud_ms >= ONSET_MS:
                self._open = Activity(list(self._pre_roll))
                self._pre_roll.clear()
                self.activities.append(self._open)
                if self._handling != "NO_INTERRUPTION":
                    await self._interrupt()
            return
        self._open.take(pcm)
        detection = self.setup["realtimeInputConfig"]["automaticActivityDetection"]
        if self._quiet_ms >= detection.get("silenceDurationMs", 500):
            await self._speech_ended()

    async def _speech_ended(self) -> None:
        if self._open is not None:
            await self._activity_ended()

    async def _activity_ended(self) -> None:
        activity, self._open = self._open, None
        assert activity is not None
        activity.ended = True
        heard = activity.text
        if activity.chunks and activity.voiced:
            heard = self.server.transcripts.popleft() if self.server.transcripts else self.server.hears
            middle = len(heard) // 2
            for piece in (heard[:middle], heard[middle:]):
                await self.send(serverContent={"inputTranscription": {"text": piece}})
        await self._heard(heard)

    async def _content(self, message: dict[str, Any]) -> None:
        turns = [
            (turn["role"], " ".join(part["text"] for part in turn["parts"]))
            for turn in message.get("turns", [])
        ]
        complete = message.get("turnComplete", False)
        if self._seeding:
            self.memory.history.extend(turns)
            self._seeding = not complete
            return
        if self.setup["model"] == MODELS[1]:
            raise Refused("client_content is only for the initial history with this model")
        if any(role != "user" for role, _ in turns) or (complete and not turns):
            raise Refused("after the start a client speaks for the user only")
        if not complete:
            self.memory.history.extend(turns)
            return
        await self._heard("\n".join(text for _, text in turns))

    async def _heard(self, text: str) -> None:
        await self._interrupt()
        if text:
            self.memory.history.append(("user", text))
        self._talk(self.server.next_answer(text, self))

    async def _tool_response(self, message: dict[str, Any]) -> None:
        for response in message["functionResponses"]:
            call = self.memory.calls.get(response["id"])
            if call is None:
                raise Refused("Requested entity was not found.", 1008)
            if call.state != "pending":
                raise Refused(f"the call was {call.state} already", 1008)
            if response["name"] != call.tool:
                raise Refused("the response names another function")
            call.state = "answered"
            call.response = response["response"]
            call.scheduling = response.get("scheduling", "WHEN_IDLE")
            self.memory.history.append(("tool", json.dumps(call.response)))
            if call.blocking or call.scheduling == "INTERRUPT":
                await self._interrupt()
                self._talk(self.server.follow_up(call))
            elif call.scheduling == "WHEN_IDLE":
                self._idle_work.append(call)
                self._when_idle()
            elif self._talking is None:
                await self._new_handle()

    # --- output ---

    def _talk(self, answer: Answer) -> None:
        self._sounded = False
        self._talking = self.begin(self._answer(answer))

    def say_unasked(self, text: str, seconds: float = 1.0) -> None:
        self._talk(Say(text, seconds))

    async def cancel_calls(self) -> None:
        """Withdraw every call that has no result yet."""
        pending = [one for one, call in self.memory.calls.items() if call.state == "pending"]
        for one in pending:
            self.memory.calls[one].state = "cancelled"
        await self.send(toolCallCancellation={"ids": pending})

    async def _interrupt(self) -> None:
        task, self._talking = self._talking, None
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait({task})
        if self._sounded or self.server.says_interrupted_early:
            await self.send(serverContent={"interrupted": True})
            await self.send(serverContent={"turnComplete": True})

    async def _answer(self, answer: Answer) -> None:
        await self.send(sessionResumptionUpdate={"resumable": False})
        await asyncio.sleep(self.server.think)
        if isinstance(answer, CallTool):
            await self._call(answer)
            if self.tools.get(answer.tool):
                return
        elif isinstance(answer, Say):
            await self._say(answer)
            await self.send(serverContent={"generationComplete": True})
        count = {"promptTokenCount": 100, "responseTokenCount": 20, "totalTokenCount": 120}
        content: dict[str, Any] = {"turnComplete": True}
        if isinstance(answer, SayNothing) and answer.reason:
            content["turnCompleteReason"] = answer.reason
        await self.send(serverContent=content, usageMetadata=count)
        self._talking = None
        if not self._pending:
            await self._new_handle()
        self._when_idle()

    @property
    def _pending(self) -> bool:
        return any(call.state == "pending" for call in self.memory.calls.values())

    def _when_idle(self) -> None:
        if self._talking is None and self._open is None and self._idle_work:
            self._talk(self.server.follow_up(self._idle_work.popleft()))

    async def _call(self, answer: CallTool) -> None:
        call_id = f"call-{next(self.server.numbers)}"
        self.memory.calls[call_id] = Call(answer.tool, self.tools.get(answer.tool, False))
        one = {"id": call_id, "name": answer.tool, "args": answer.arguments}
        await self.send(toolCall={"functionCalls": [one]})

    async def _say(self, answer: Say) -> None:
        self.server.answers += 1
        number = self.server.answers
        sound = answer_sound(number, answer.seconds)
        self.said.append((number, 0))
        place = len(self.said) - 1
        step = RATE * CHUNK_MS // 1000
        pieces = deque(answer.text.split(" "))
        chunks = -(-len(sound) // step)
        spoken = ""
        loop = asyncio.get_running_loop()
        due = loop.time()
        chance = random.Random(number)
        for index in range(chunks):
            words_by_now = -(-(index + 1) * len(answer.text.split(" ")) // chunks)
            while pieces and len(answer.text.split(" ")) - len(pieces) < words_by_now:
                word = pieces.popleft() + (" " if pieces else "")
                spoken += word
                await self.send(serverContent={"outputTranscription": {"text": word}})
            pcm = sound[index * step : (index + 1) * step].astype("<i2").tobytes()
            blob = {"mimeType": f"audio/pcm;rate={RATE}", "data": base64.b64encode(pcm).decode()}
            self._sounded = True
            if not index:
                self.server.sounded_at.append(time.monotonic())
            await self.send(serverContent={"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}})
            self.said[place] = number, self.said[place][1] + len(pcm) // 2
            due += CHUNK_MS / 1000 / self.server.speed
            late = chance.uniform(0.0, self.server.jitter_ms) / 1000
            await asyncio.sleep(max(0.0, due + late - loop.time()))
        self.memory.history.append(("model", spoken))

    async def _new_handle(self) -> None:
        """After turnComplete, and never while something goes on."""
        self.handle = f"handle-{next(self.server.numbers)}"
        self.server.handles[self.handle] = copy.deepcopy(self.memory)
        await self.send(sessionResumptionUpdate={"newHandle": self.handle, "resumable": True})

    # --- faults ---

    def go_away(self, seconds: float, time_left: Any = None) -> None:
        self.begin(self._leave(seconds, f"{seconds:g}s" if time_left is None else time_left))

    async def _leave(self, seconds: float, time_left: Any) -> None:
        await self.send(goAway={"timeLeft": time_left})
        await asyncio.sleep(seconds)
        await self.socket.close(1011, "Deadline expired before operation could complete.")

    # --- the log ---

    @property
    def audio(self) -> Samples:
        """All that was taken for speech."""
        return np.concatenate([activity.samples for activity in self.activities] or [np.zeros(0, np.int16)])
