"""The Responses API: requests, and answers from events. Pure.

Nothing is kept at the service (`store` false): what a reasoning model thought before a call goes with the call, sealed
by the service (`encrypted_content`). Source: openai 3.54 (`responses`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from appliance.errors import ProviderUnavailable
from appliance.providers.llm import openai_faults as faults
from appliance.providers.llm.answering import Answer
from appliance.providers.llm.conversation import Calls, Json, PastCall, clean, json_text, steps
from appliance.providers.llm.openai_settings import Settings
from appliance.stages import AnswerPart, Prompt

SEALED: Final = "reasoning.encrypted_content"
SEALED_BOUND: Final = 256 * 1024
_CUTS: Final = {"max_output_tokens": "length", "content_filter": "filter"}


def request(settings: Settings, prompt: Prompt) -> Json:
    """The body, as the arguments of `responses.create`."""
    body: Json = {
        "model": settings.model_name,
        "input": list(_input(settings, prompt)),
        "stream": True,
        "store": False,
    }
    if prompt.instructions.strip():
        body["instructions"] = clean(prompt.instructions)
    if prompt.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                "strict": False,
            }
            for tool in prompt.tools
        ]
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if settings.max_output_tokens is not None:
        body["max_output_tokens"] = settings.max_output_tokens
    if settings.effort:
        body["reasoning"] = {"effort": settings.effort}
    if settings.thinks and settings.official:
        body["include"] = [SEALED]
    if prompt.user and settings.official:
        body["prompt_cache_key"] = prompt.user
    return body


def _input(settings: Settings, prompt: Prompt) -> Iterator[Json]:
    for step in steps(prompt.items):
        if isinstance(step, Calls):
            for call in step.calls:
                yield from _thoughts(settings, call)
            for call in step.calls:
                yield {
                    "type": "function_call",
                    "call_id": call.call_id,
                    "name": call.tool,
                    "arguments": json_text(call.arguments),
                }
            for call in step.calls:
                yield {"type": "function_call_output", "call_id": call.call_id, "output": call.outcome}
        else:
            yield {"type": "message", "role": step.role, "content": step.text}


def _thoughts(settings: Settings, call: PastCall) -> Iterator[Json]:
    """What was thought before the call, as far as this model can read it."""
    known = call.opaque.get("openai")
    if not settings.thinks or not isinstance(known, dict) or known.get("model") != settings.model_name:
        return
    reasoning = known.get("reasoning")
    for item in reasoning if isinstance(reasoning, list) else ():
        if isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("sealed"), str):
            yield {"type": "reasoning", "id": item["id"], "summary": [], "encrypted_content": item["sealed"]}


class Reader:
    """Puts an answer together from events; `finished` when no more of it comes."""

    def __init__(self, answer: Answer, model: str) -> None:
        self.finished = False
        self._answer = answer
        self._model = model
        self._sealed: list[Json] = []
        self._speaking: tuple[object, object] | None = None
        self._handlers: dict[str, Callable[[Mapping[str, Any]], list[AnswerPart]]] = {
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._text,
            "response.output_item.added": self._item_begins,
            "response.output_item.done": self._item_ends,
            "response.function_call_arguments.delta": self._arguments,
            "response.completed": self._ends,
            "response.incomplete": self._ends,
            "response.failed": self._failed,
        }

    def feed(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        """Raise what an error in the stream means."""
        kind = event.get("type")
        if kind == "error" or (kind is None and faults.error_in(event)):
            raise faults.told(faults.error_in(event) or event)
        if self.finished:
            return []
        if event.get("object") == "response":
            # A server that does not stream.
            return self._ends({"response": event})
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        parts = handler(event) if handler is not None else []
        if self._answer.full and not self.finished:
            parts += self._finish("")
        return parts

    def end(self, *, told: bool) -> list[AnswerPart]:
        """The body has ended. Raise ProviderUnavailable if the answer has not."""
        if not self.finished:
            raise ProviderUnavailable("openai: the answer broke off")
        return self._answer.counted()

    def _text(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        place = (event.get("output_index"), event.get("content_index"))
        before, self._speaking = self._speaking, place
        gap = self._answer.text("\n") if before not in (None, place) else []
        return gap + self._answer.text(event.get("delta"))

    def _item_begins(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        item = _dict(event.get("item"))
        if item.get("type") == "function_call":
            self._answer.call_piece(
                _place(event), item.get("call_id"), item.get("name"), item.get("arguments")
            )
        return []

    def _arguments(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        self._answer.call_piece(_place(event), "", "", event.get("delta"))
        return []

    def _item_ends(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        self._take(_place(event), _dict(event.get("item")))
        return []

    def _take(self, place: int | str, item: Mapping[str, Any]) -> None:
        match item.get("type"):
            case "reasoning":
                sealed, name = item.get("encrypted_content"), item.get("id")
                if isinstance(sealed, str) and len(sealed) <= SEALED_BOUND and isinstance(name, str):
                    self._sealed.append({"id": name, "sealed": sealed})
            case "function_call":
                opaque: Json = {}
                if self._sealed:
                    opaque = {"openai": {"model": self._model, "reasoning": self._sealed}}
                    self._sealed = []
                self._answer.whole_call(
                    place, item.get("call_id"), item.get("name"), item.get("arguments"), opaque
                )

    def _ends(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        response = _dict(event.get("response"))
        usage = _dict(response.get("usage"))
        self._answer.usage(usage.get("input_tokens"), usage.get("output_tokens"))
        if response.get("status") == "failed":
            return self._failed(event)
        parts = self._whole(response) if self._answer.empty else []
        reason = ""
        if response.get("status") == "incomplete" or event.get("type") == "response.incomplete":
            told = _dict(response.get("incomplete_details")).get("reason")
            reason = _CUTS.get(told, "other") if isinstance(told, str) else "other"
        return parts + self._finish(reason)

    def _whole(self, response: Mapping[str, Any]) -> list[AnswerPart]:
        """The answer from its last event, where it came at once."""
        parts: list[AnswerPart] = []
        output = response.get("output")
        for place, item in enumerate(output if isinstance(output, list) else ()):
            entry = _dict(item)
            content = entry.get("content")
            for index, piece in enumerate(content if isinstance(content, list) else ()):
                if entry.get("type") == "message":
                    told = {"output_index": place, "content_index": index}
                    said = _dict(piece).get("text") or _dict(piece).get("refusal")
                    parts += self._text({**told, "delta": said})
            self._take(place, entry)
        return parts

    def _failed(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        raise faults.told(_dict(_dict(event.get("response")).get("error")))

    def _finish(self, reason: str) -> list[AnswerPart]:
        self.finished = True
        return self._answer.finish(reason)


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _place(event: Mapping[str, Any]) -> int | str:
    """What the events of one item have in common."""
    for key in ("output_index", "item_id"):
        if isinstance(place := event.get(key), int | str):
            return place
    name = _dict(event.get("item")).get("id")
    return name if isinstance(name, str) else 0
