"""The Chat Completions API, as OpenAI and the servers that follow it speak it: requests, and answers from events. Pure.

Source: openai 3.54 (`chat.completions`), and what llama.cpp, Ollama, vLLM and llama-cpp-python were seen to send.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from appliance.errors import ProviderUnavailable
from appliance.providers.llm import openai_faults as faults
from appliance.providers.llm.answering import Answer
from appliance.providers.llm.conversation import Calls, Json, PastCall, clean, json_text, steps
from appliance.providers.llm.openai_settings import Settings
from appliance.stages import AnswerPart, Prompt

_CUTS: Final = {"length": "length", "max_tokens": "length", "content_filter": "filter", "safety": "filter"}
_WHOLE: Final = frozenset(
    {"stop", "tool_calls", "function_call", "eos", "eos_token", "end_turn", "stop_sequence"}
)


def request(settings: Settings, prompt: Prompt) -> Json:
    """The body, as the arguments of `chat.completions.create`."""
    body: Json = {
        "model": settings.model_name,
        "messages": list(_messages(prompt)),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompt.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in prompt.tools
        ]
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if settings.max_output_tokens is not None:
        # The new name is refused by older servers, the old one by the service for its reasoning models.
        name = "max_completion_tokens" if settings.official else "max_tokens"
        body[name] = settings.max_output_tokens
    if settings.effort:
        body["reasoning_effort"] = settings.effort
    if prompt.user and settings.official:
        body["prompt_cache_key"] = prompt.user
    return body


def _messages(prompt: Prompt) -> Iterator[Json]:
    if prompt.instructions.strip():
        yield {"role": "system", "content": clean(prompt.instructions)}
    said = ""
    for step in steps(prompt.items):
        if isinstance(step, Calls):
            yield {"role": "assistant", "content": said, "tool_calls": [_called(call) for call in step.calls]}
            for call in step.calls:
                yield {"role": "tool", "tool_call_id": call.call_id, "content": call.outcome}
            said = ""
        elif step.role == "assistant":
            # Kept for the message with the calls that may follow: some chat templates want the roles to alternate.
            said = step.text
        else:
            yield from _assistant(said)
            said = ""
            yield {"role": "user", "content": step.text}


def _assistant(said: str) -> Iterator[Json]:
    if said:
        yield {"role": "assistant", "content": said}


def _called(call: PastCall) -> Json:
    function = {"name": call.tool, "arguments": json_text(call.arguments)}
    return {"id": call.call_id, "type": "function", "function": function}


class Reader:
    """Puts an answer together from events; `finished` when no more of it comes but the usage."""

    def __init__(self, answer: Answer) -> None:
        self.finished = False
        self._answer = answer

    def feed(self, event: Mapping[str, Any]) -> list[AnswerPart]:
        """Raise what an error in the stream means."""
        if error := faults.error_in(event):
            raise faults.told(error)
        if isinstance(usage := event.get("usage"), dict):
            self._answer.usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))
        choice = _first(event.get("choices"))
        if choice is None or self.finished:
            return []
        # A server that does not stream gives the whole message.
        delta = choice.get("delta") or choice.get("message")
        parts = self._delta(delta) if isinstance(delta, dict) else []
        reason = choice.get("finish_reason")
        if self._answer.full or (isinstance(reason, str) and reason):
            parts += self._finish(reason if isinstance(reason, str) else "")
        return parts

    def end(self, *, told: bool) -> list[AnswerPart]:
        """The body has ended; `told`: with the word that it is complete. Raise ProviderUnavailable if it is not."""
        parts: list[AnswerPart] = []
        if not self.finished:
            if not told:
                raise ProviderUnavailable("openai: the answer broke off")
            parts = self._finish("stop")
        return parts + self._answer.counted()

    def _finish(self, reason: str) -> list[AnswerPart]:
        self.finished = True
        return self._answer.finish("" if reason in _WHOLE or not reason else _CUTS.get(reason, "other"))

    def _delta(self, delta: Mapping[str, Any]) -> list[AnswerPart]:
        parts = [part for text in _texts(delta.get("content")) for part in self._answer.text(text)]
        parts += self._answer.text(delta.get("refusal"))
        for place, call_id, function in _pieces(delta):
            self._answer.call_piece(place, call_id, function.get("name"), function.get("arguments"))
        return parts


def _first(choices: object) -> Mapping[str, Any] | None:
    """The choice with the index 0, where there is one."""
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return None


def _texts(content: object) -> Sequence[object]:
    """What is said: some servers send a list of parts, thoughts among them."""
    if isinstance(content, list):
        return [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return [content]


def _pieces(delta: Mapping[str, Any]) -> Iterator[tuple[int | None, object, Mapping[str, Any]]]:
    """Each piece of a call with its index; `function_call` is the old form, and by some servers sent beside the new."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        calls = [{"index": 0, "function": delta.get("function_call")}]
    for call in calls:
        if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
            index = call.get("index")
            yield index if isinstance(index, int) else None, call.get("id"), function
