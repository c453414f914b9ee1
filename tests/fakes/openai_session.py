"""One connection to the fake of OpenAI Realtime: its conversation, its turns, its responses; it hears speech itself."""

import asyncio
import base64
import binascii
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.fakes.openai_answers import Answer, Call, Item, Nothing, Plan, Samples, Say, sound_of
from tests.fakes.openai_schema import EVENTS, RATE, Refused
from tests.fakes.socket_service import SocketLink

if TYPE_CHECKING:
    from tests.fakes.openai_realtime import FakeOpenAi

FRAME_BYTES = RATE // 50 * 2
SHORTEST_COMMIT_MS = 100
SPEECH_RMS = 300.0
ONSET_FRAMES = 3
LONGEST_NAME = 32
APPEND_BOUND = 15 * 1024 * 1024
MODELS = frozenset({"gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-realtime-2", "gpt-realtime-1.5"})


class Session(SocketLink):
    """One connection of a client."""

    def __init__(self, cloud: "FakeOpenAi", socket: ServerConnection, name: str, model: str) -> None:
        super().__init__(cloud, socket)
        self.name = name
        self.model = model
        self.events: list[dict[str, Any]] = []
        """What the client sent, without the audio."""
        self.received: list[tuple[float, bytes]] = []
        """Every piece of audio, with the monotonic second of its arrival."""
        self.items: list[Item] = []
        self.answers: list[Answer] = []
        self.config: dict[str, Any] = {}
        self.buffer = bytearray()
        self._cloud = cloud
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._held: deque[str] = deque()
        self._by_id: dict[str, Item] = {}
        self._answered_calls: set[str] = set()
        self._open_calls: set[str] = set()
        self._active: Answer | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._numbers = 0
        self._handlers: Mapping[str, Callable[[dict[str, Any]], Any]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.delete": self._delete,
            "conversation.item.truncate": self._truncate,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }
        self._sounded = False
        self._detector = Detector()
        lasts = cloud.will_expire_in.popleft() if cloud.will_expire_in else cloud.expires_in
        self._expires_at = None if lasts is None else int(time.time() + lasts)

    # --- what it shows ---

    @property
    def samples(self) -> Samples:
        """All audio that came, committed or not."""
        return np.frombuffer(b"".join(pcm for _, pcm in self.received), "<i2")

    @property
    def spoken(self) -> list[Item]:
        """The turns that were spoken, in order."""
        return [item for item in self.items if item.pcm]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """The client's events of this type."""
        return [event for event in self.events if event.get("type") == kind]

    # --- the socket ---

    def hold(self) -> None:
        """What the service says is on its way and does not arrive, until `release`."""
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    async def send(self, kind: str, **fields: Any) -> None:
        self._numbers += 1
        text = json.dumps({"type": kind, "event_id": f"event_{self._numbers}", **fields})
        if not self._flowing.is_set():
            self._held.append(text)
            return
        try:
            while self._held:
                await self.say_raw(self._held.popleft())
            await self.say_raw(text)
        except ConnectionClosed:
            self.live = False

    async def run(self) -> None:
        if self.model not in MODELS:
            await self._refuse(
                "", Refused("model_not_found", f"The model '{self.model}' does not exist.", "model")
            )
            await self.socket.close(4000, "invalid_request_error.model_not_found")
            return
        await self.send("session.created", session=self._described())
        async for raw in self.socket:
            if self._stalled:
                await self.socket.wait_closed()
            await self._take(raw)

    async def _take(self, raw: str | bytes) -> None:
        event_id = ""
        try:
            try:
                event = json.loads(raw)
            except ValueError:
                raise Refused("invalid_json", "We could not parse the JSON body.") from None
            if not isinstance(event, dict):
                raise Refused("invalid_event", "It is no object.")
            event_id = event.pop("event_id", "")
            kind = event.pop("type", None)
            check = EVENTS.get(kind)
            if check is None:
                raise Refused("invalid_value", f"Invalid value: '{kind}'.", "type")
            check(event, "")
            if kind != "input_audio_buffer.append":
                self.events.append({"type": kind, **event})
            await self._handlers[kind](event)
        except Refused as refused:
            self.violate(f"{refused.code} {refused.param}".strip())
            await self._refuse(event_id, refused)

    async def _refuse(self, event_id: str, refused: Refused) -> None:
        error = {
            "type": refused.kind,
            "code": refused.code,
            "message": refused.message,
            "param": refused.param or None,
            "event_id": event_id or None,
        }
        await self.send("error", error=error)

    def _described(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "object": "realtime.session",
            "type": "realtime",
            "model": self.model,
            "expires_at": self._expires_at,
            **self.config,
        }

    # --- client events ---

    async def _update(self, event: dict[str, Any]) -> None:
        if self._cloud.next_fate("hang_in_setup"):
            await self.socket.wait_closed()
            return
        if self._cloud.next_fate("drop_in_setup"):
            self.reset()
            return
        session = event["session"]
        if len(session.get("output_modalities", ())) > 1:
            raise Refused(
                "invalid_value", "'text' and 'audio' exclude each other.", "session.output_modalities"
            )
        voice = session.get("audio", {}).get("output", {}).get("voice")
        present = self.config.get("audio", {}).get("output", {}).get("voice")
        if self._sounded and voice not in {None, present}:
            raise Refused(
                "cannot_update_voice", "Cannot update a conversation's voice if assistant audio is present."
            )
        self.config = _merged(self.config, session)
        self._detector = Detector(self._turn_detection())
        described = _merged(self._described(), {"audio": {"output": {"format": dict(self._cloud.form)}}})
        await self.send("session.updated", session=described)

    def _turn_detection(self) -> Mapping[str, Any] | None:
        found = self.config.get("audio", {}).get("input", {}).get("turn_detection")
        return found if isinstance(found, dict) else None

    async def _append(self, event: dict[str, Any]) -> None:
        try:
            pcm = base64.b64decode(event["audio"], validate=True)
        except (binascii.Error, ValueError):
            raise Refused("invalid_value", "Invalid audio.", "audio") from None
        if len(pcm) % 2:
            raise Refused("invalid_value", "Odd number of bytes.", "audio")
        if len(pcm) > APPEND_BOUND:
            raise Refused("invalid_value", "Too much audio.", "audio")
        self.received.append((time.monotonic(), pcm))
        self.buffer += pcm
        for noticed, at_ms in self._detector.hear(pcm):
            if noticed == "started":
                await self.send(
                    "input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._next_item()
                )
            else:
                await self.send(
                    "input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=self._next_item()
                )
                await self._commit_buffer()
                await self._answer_by_itself()

    def _next_item(self) -> str:
        return f"item_{len(self._by_id) + 1}"

    async def _answer_by_itself(self) -> None:
        detection = self._turn_detection() or {}
        if not detection.get("create_response", True):
            return
        if self._active is not None:
            if not detection.get("interrupt_response", True):
                return
            await self._stop("turn_detected")
        self._begin(None)

    async def _commit(self, _: dict[str, Any]) -> None:
        if len(self.buffer) / 2 * 1000 / RATE < SHORTEST_COMMIT_MS:
            raise Refused(
                "input_audio_buffer_commit_empty", "Error committing input audio buffer: buffer too small."
            )
        await self._commit_buffer()

    async def _commit_buffer(self) -> None:
        pcm = bytes(self.buffer)
        self.buffer.clear()
        heard = self._cloud.understand() if Detector.has_speech(pcm) else ""
        item = Item(
            self._next_item(),
            {"type": "message", "role": "user", "content": [{"type": "input_audio"}]},
            pcm,
            heard,
        )
        await self.send("input_audio_buffer.committed", item_id=item.id, previous_item_id=self._last_item())
        await self._add(item)
        if self.config.get("audio", {}).get("input", {}).get("transcription"):
            self.begin(self._transcribe(item))

    async def _transcribe(self, item: Item) -> None:
        await asyncio.sleep(self._cloud.transcribes_after)
        kind = "conversation.item.input_audio_transcription"
        words = item.heard.split(" ")
        for index, word in enumerate(words if item.heard else ()):
            delta = word if index == 0 else f" {word}"
            await self.send(f"{kind}.delta", item_id=item.id, content_index=0, delta=delta)
        await self.send(
            f"{kind}.completed",
            item_id=item.id,
            content_index=0,
            transcript=item.heard,
            usage={"type": "duration", "seconds": round(len(item.pcm) / 2 / RATE, 1)},
        )

    async def _clear(self, _: dict[str, Any]) -> None:
        self.buffer.clear()
        self._detector.reset()
        await self.send("input_audio_buffer.cleared")

    async def _create_item(self, event: dict[str, Any]) -> None:
        body = event["item"]
        kind = body["type"]
        if len(body.get("call_id", "")) > LONGEST_NAME:
            raise Refused(
                "string_above_max_length", "Invalid 'item.call_id': string too long.", "item.call_id"
            )
        if kind == "function_call":
            self._open_calls.add(body.get("call_id", ""))
        if kind == "function_call_output":
            if body["call_id"] in self._answered_calls:
                raise Refused("function_call_output_exists", "This call has its output.", "item.call_id")
            if body["call_id"] not in self._open_calls:
                raise Refused("invalid_tool_call_id", "No tool call found with this id.", "item.call_id")
            self._open_calls.discard(body["call_id"])
            self._answered_calls.add(body["call_id"])
        name = body.get("id") or self._next_item()
        if len(name) > LONGEST_NAME or name in self._by_id:
            raise Refused("invalid_value", "The id is taken, or longer than 32 characters.", "item.id")
        before = event.get("previous_item_id")
        if before not in {None, "root", *(item.id for item in self.items)}:
            raise Refused("item_create_invalid_previous_item_id", "No such item.", "previous_item_id")
        await self._add(Item(name, body), before)

    async def _add(self, item: Item, before: str | None = None) -> None:
        before = before or self._last_item()
        names = [one.id for one in self.items]
        self.items.insert(names.index(before) + 1 if before in names else 0, item)
        self._by_id[item.id] = item
        for step in ("added", "done"):
            await self.send(
                f"conversation.item.{step}", previous_item_id=before, item={"id": item.id, **item.body}
            )

    def _last_item(self) -> str | None:
        return self.items[-1].id if self.items else None

    async def _delete(self, event: dict[str, Any]) -> None:
        item = self._by_id.get(event["item_id"])
        if item is None or item not in self.items:
            raise Refused("item_delete_invalid_item_id", "No such item.", "item_id")
        self.items.remove(item)
        for answer in self.answers:
            if answer.item == item.id:
                answer.deleted = True
        await self.send("conversation.item.deleted", item_id=item.id)

    async def _truncate(self, event: dict[str, Any]) -> None:
        answer = next((one for one in self.answers if one.item == event["item_id"]), None)
        if answer is None or answer.item not in self._by_id:
            raise Refused("item_truncate_invalid_item_id", "No such item.", "item_id")
        if event["content_index"] != 0 or not 0 <= event["audio_end_ms"] <= answer.sent_ms:
            raise Refused(
                "invalid_value",
                f"Audio content of {answer.sent_ms:.0f}ms is already shorter.",
                "audio_end_ms",
            )
        answer.truncated_ms = event["audio_end_ms"]
        await self.send(
            "conversation.item.truncated",
            item_id=answer.item,
            content_index=0,
            audio_end_ms=event["audio_end_ms"],
        )

    async def _create_response(self, event: dict[str, Any]) -> None:
        if self._active is not None:
            raise Refused(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._active.response}.",
            )
        self._begin(event.get("response", {}).get("metadata"))

    async def _cancel(self, event: dict[str, Any]) -> None:
        if self._active is None or event.get("response_id", self._active.response) != self._active.response:
            raise Refused("response_cancel_not_active", "Cancellation failed: no active response found.")
        await self._stop("client_cancelled")

    # --- responses ---

    def _begin(self, metadata: Mapping[str, str] | None) -> None:
        number = len(self._cloud.answers) + 1
        plan = self._next_plan()
        answer = Answer(f"resp_{number}", f"item_r{number}", plan, metadata=metadata)
        if isinstance(plan, Say) and self._modality() == "audio":
            answer.pcm = sound_of(number, round(plan.seconds * 1000))
        self._cloud.answers.append(answer)
        self.answers.append(answer)
        self._active = answer
        self._speaking = self.begin(self._respond(answer))

    def _modality(self) -> str:
        return str(self.config.get("output_modalities", ["audio"])[0])

    def _next_plan(self) -> Plan:
        """After a tool's result it is read out; silence is answered with silence."""
        last = self.items[-1] if self.items else None
        if last is not None and last.pcm and not last.heard:
            return Nothing()
        if last is not None and last.body["type"] == "function_call_output" and not self._cloud.scripted:
            return Say(f"It says {last.body['output']}.", 1.0)
        return self._cloud.plan_for("" if last is None else last.heard or last.said)

    async def _respond(self, answer: Answer) -> None:
        await self.send("response.created", response=self._response(answer))
        await asyncio.sleep(answer.plan.think)
        match answer.plan:
            case Say():
                await self._say(answer, answer.plan)
                if not answer.plan.finish:
                    return
            case Call():
                if answer.plan.text:
                    await self._say(answer, Say(answer.plan.text, 0.4))
                for index, (tool, arguments) in enumerate(answer.plan.calls):
                    await self._call(answer, index, tool, arguments)
            case Nothing():
                answer.status = answer.plan.status
        await self._finish(answer, "completed" if answer.status == "in_progress" else answer.status)

    async def _say(self, answer: Answer, say: Say) -> None:
        spoken = self._modality() == "audio"
        if spoken and not answer.pcm:
            answer.pcm = sound_of(len(self._cloud.answers), round(say.seconds * 1000))
        item = Item(answer.item, {"type": "message", "role": "assistant", "content": []})
        place = {"response_id": answer.response, "item_id": item.id, "output_index": 0}
        await self.send("response.output_item.added", **place, item={"id": item.id, **item.body})
        await self._add(item)
        at = {**place, "content_index": 0}
        await self.send("response.content_part.added", **at, part={"type": "audio" if spoken else "text"})
        kind = "output_audio_transcript" if spoken else "output_text"
        chunk = RATE * say.chunk_ms // 1000 * 2
        pieces = [answer.pcm[begin : begin + chunk] for begin in range(0, len(answer.pcm), chunk)]
        words = list(_spread(say.text, max(1, len(pieces) or 4)))
        count = max(len(pieces), len(words))
        told = {place * count // len(words): word for place, word in enumerate(words)}
        loop = asyncio.get_running_loop()
        due = loop.time()
        chance = random.Random(len(self._cloud.answers))
        for index in range(count):
            if index in told:
                await self.send(f"response.{kind}.delta", **at, delta=told[index])
            if index < len(pieces):
                answer.sounded_at = answer.sounded_at or time.monotonic()
                answer.sent_ms += len(pieces[index]) / 2 * 1000 / RATE
                self._sounded = True
                await self.send(
                    "response.output_audio.delta", **at, delta=base64.b64encode(pieces[index]).decode()
                )
            due += say.chunk_ms / 1000 / say.speed
            late = chance.uniform(0.0, say.jitter_ms) / 1000
            await asyncio.sleep(max(0.0, due + late - loop.time()))
        if not say.finish:
            return
        if spoken:
            await self.send("response.output_audio.done", **at)
        done = {"transcript": say.text} if spoken else {"text": say.text}
        await self.send(f"response.{kind}.done", **at, **done)
        await self.send("response.content_part.done", **at, part={"type": "audio" if spoken else "text"})
        await self.send("response.output_item.done", **place, item={"id": item.id, **item.body})

    async def _call(self, answer: Answer, index: int, tool: str, arguments: Mapping[str, Any] | str) -> None:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call_id = f"call_{answer.response}_{index}"
        body = {"type": "function_call", "call_id": call_id, "name": tool, "arguments": text}
        item = Item(f"{answer.item}_{index}", body)
        place = {"response_id": answer.response, "item_id": item.id, "output_index": index}
        self._open_calls.add(call_id)
        await self.send("response.output_item.added", **place, item={"id": item.id, **body, "arguments": ""})
        await self._add(item)
        await self.send("response.function_call_arguments.delta", **place, call_id=call_id, delta=text)
        await self.send(
            "response.function_call_arguments.done", **place, call_id=call_id, name=tool, arguments=text
        )
        await self.send(
            "response.output_item.done", **place, item={"id": item.id, "status": "completed", **body}
        )

    async def _stop(self, reason: str) -> None:
        answer, task = self._active, self._speaking
        assert answer is not None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._finish(answer, "cancelled", reason)

    async def _finish(self, answer: Answer, status: str, reason: str = "") -> None:
        if self._active is answer:
            self._active = None
        answer.status = status
        await self.send("response.done", response=self._response(answer, reason))
        await self.send("rate_limits.updated", rate_limits=[])

    def _response(self, answer: Answer, reason: str = "") -> dict[str, Any]:
        code = answer.plan.code if isinstance(answer.plan, Nothing) else ""
        error = {"error": {"type": code, "code": code}} if code else {}
        details = {"type": answer.status, "reason": reason, **error} if reason or error else None
        over = answer.status != "in_progress"
        usage = {"total_tokens": 30, "input_tokens": 10, "output_tokens": 20}
        return {
            "id": answer.response,
            "object": "realtime.response",
            "status": answer.status,
            "status_details": details,
            "output": [],
            "metadata": answer.metadata if self._cloud.repeats_metadata else None,
            "usage": usage if over else None,
        }


class Detector:
    """The service's own voice detection: energy, on the audio that came, in its time."""

    def __init__(self, detection: Mapping[str, Any] | None = None) -> None:
        self._on = detection is not None
        silence = int((detection or {}).get("silence_duration_ms", 500))
        semantic = (detection or {}).get("type") == "semantic_vad"
        self._hangover = (800 if semantic else silence) // 20
        self._left = b""
        self._frames = 0
        self._voiced = 0
        self._quiet = 0
        self._speech = False

    def hear(self, pcm: bytes) -> Iterator[tuple[str, int]]:
        """What is noticed, with the milliseconds of audio until then."""
        if not self._on:
            return
        self._left += pcm
        while len(self._left) >= FRAME_BYTES:
            frame, self._left = self._left[:FRAME_BYTES], self._left[FRAME_BYTES:]
            self._frames += 1
            loud = _loudness(frame) > SPEECH_RMS
            self._voiced = self._voiced + 1 if loud else 0
            self._quiet = 0 if loud else self._quiet + 1
            if not self._speech and self._voiced >= ONSET_FRAMES:
                self._speech = True
                yield "started", self._frames * 20
            elif self._speech and self._quiet >= self._hangover:
                self._speech = False
                yield "stopped", self._frames * 20

    def reset(self) -> None:
        self._left = b""
        self._voiced = 0
        self._quiet = 0
        self._speech = False

    @staticmethod
    def has_speech(pcm: bytes) -> bool:
        whole = np.frombuffer(pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES], "<i2").reshape(
            -1, FRAME_BYTES // 2
        )
        loud = np.sqrt((whole.astype(np.float64) ** 2).mean(axis=1)) > SPEECH_RMS
        return int(loud.sum()) >= ONSET_FRAMES


def _loudness(frame: bytes) -> float:
    samples = np.frombuffer(frame, "<i2").astype(np.float64)
    return float(np.sqrt(samples @ samples / len(samples)))


def _spread(text: str, parts: int) -> Iterator[str]:
    """`text` in at most so many pieces, at its blanks."""
    words = [f"{word} " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    per = -(-len(words) // parts)
    for begin in range(0, len(words), per):
        yield "".join(words[begin : begin + per])


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(old)
    for key, value in new.items():
        known = both.get(key)
        both[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both
