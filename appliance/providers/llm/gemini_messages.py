"""Gemini's generateContent: requests, and answers from streamed responses. Pure.

What the service holds true: the user speaks first and last; calls follow the user directly, and all their outcomes
follow them; the first call of each step carries the signature of the thoughts that led to it, where the model gave one.
Source: google-genai 3.4 (`models.generate_content_stream`), and the service's pages on function calling and thought
signatures.
"""

import base64
import binascii
from typing import Any, Final, Literal

from appliance.errors import ProviderUnavailable
from appliance.providers.llm.answering import Answer
from appliance.providers.llm.conversation import Calls, Json, PastCall, clean, json_text, object_of, steps
from appliance.providers.llm.exchange import ModelSettings
from appliance.stages import AnswerPart, Prompt

DEFAULT_MODEL: Final = "gemini-3.5-flash-lite"
FOREIGN_SIGNATURE: Final = base64.urlsafe_b64decode("skip_thought_signature_validator")
"""Stands for thoughts of another model: on the wire it reads as the service's pages say."""
SIGNATURE_BOUND: Final = 256 * 1024
_WHOLE: Final = frozenset({"STOP", "FINISH_REASON_UNSPECIFIED"})
_CUTS: Final = {
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "MODEL_ARMOR": "filter",
}


class Settings(ModelSettings):
    """The keys of `[providers.gemini]` and `[providers.chain]` that concern it, without `llm_`."""

    reasoning: Literal["", "minimal", "low", "medium", "high"] = ""
    """How much it thinks; empty: what the model does by itself, the default one next to nothing."""

    @property
    def model_name(self) -> str:
        return self.model or DEFAULT_MODEL


def contents(settings: Settings, prompt: Prompt) -> list[Json]:
    found: list[Json] = []
    for step in steps(prompt.items):
        if isinstance(step, Calls):
            # What was said before the calls is part of the same step of the model.
            if found[-1]["role"] == "model":
                found[-1]["parts"] += _called(settings, step)
            else:
                found.append({"role": "model", "parts": _called(settings, step)})
            found.append({"role": "user", "parts": [_outcome(call) for call in step.calls]})
        else:
            role = "model" if step.role == "assistant" else "user"
            found.append({"role": role, "parts": [{"text": step.text}]})
    return found


def config(settings: Settings, prompt: Prompt) -> Json:
    """The rest of a request, as the SDK takes it."""
    found: Json = {"automatic_function_calling": {"disable": True}}
    if prompt.instructions.strip():
        found["system_instruction"] = clean(prompt.instructions)
    if prompt.tools:
        declared = [
            {
                "name": tool.name,
                "description": tool.description,
                "parameters_json_schema": dict(tool.parameters),
            }
            for tool in prompt.tools
        ]
        found["tools"] = [{"function_declarations": declared}]
    if settings.temperature is not None:
        found["temperature"] = settings.temperature
    if settings.max_output_tokens is not None:
        found["max_output_tokens"] = settings.max_output_tokens
    if settings.reasoning:
        found["thinking_config"] = {"thinking_level": settings.reasoning.upper()}
    return found


def _called(settings: Settings, step: Calls) -> list[Json]:
    known = [_known(settings, call) for call in step.calls]
    parts: list[Json] = []
    for call, ours in zip(step.calls, known, strict=True):
        part: Json = {"function_call": {"id": call.call_id, "name": call.tool, "args": call.arguments}}
        if signature := _signature(ours):
            part["thought_signature"] = signature
        parts.append(part)
    # Only the first one of a step has to have one: it may have been forgotten, or be another model's.
    if "thought_signature" not in parts[0] and not known[0].get("first"):
        parts[0]["thought_signature"] = FOREIGN_SIGNATURE
    return parts


def _outcome(call: PastCall) -> Json:
    told = object_of(call.outcome)
    response = {"output": call.outcome} if told is None else told
    return {"function_response": {"id": call.call_id, "name": call.tool, "response": response}}


def _known(settings: Settings, call: PastCall) -> Json:
    """What this model said with its call; nothing where another model made it."""
    known = call.opaque.get("gemini")
    return known if isinstance(known, dict) and known.get("model") == settings.model_name else {}


def _signature(known: Json) -> bytes:
    try:
        return base64.b64decode(str(known.get("signature", "")), validate=True)
    except (binascii.Error, ValueError):
        return b""


class Reader:
    """Puts an answer together from the SDK's responses; `finished` when its last one has come."""

    def __init__(self, answer: Answer, model: str) -> None:
        self.finished = False
        self._answer = answer
        self._model = model
        self._calls = 0
        self._blocked = False

    def feed(self, response: Any) -> list[AnswerPart]:
        if (usage := response.usage_metadata) is not None:
            inputs = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
            outputs = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
            self._answer.usage(inputs, outputs)
        if response.prompt_feedback is not None and response.prompt_feedback.block_reason:
            self._blocked = True
        candidate = next((one for one in response.candidates or () if not one.index), None)
        if candidate is None or self.finished:
            return []
        parts: list[AnswerPart] = []
        for part in (candidate.content.parts if candidate.content else None) or ():
            parts += self._part(part)
        reason = str(getattr(candidate.finish_reason, "value", candidate.finish_reason) or "")
        if self._answer.full or reason not in ("", "CONTINUATION"):
            parts += self._finish("" if reason in _WHOLE or not reason else _CUTS.get(reason, "other"))
        return parts

    def end(self) -> list[AnswerPart]:
        """No response comes any more. Raise ProviderUnavailable where the answer is not complete."""
        parts: list[AnswerPart] = []
        if not self.finished:
            if not self._blocked:
                raise ProviderUnavailable("gemini: the answer broke off")
            parts = self._finish("filter")
        return parts + self._answer.counted()

    def _finish(self, reason: str) -> list[AnswerPart]:
        self.finished = True
        return self._answer.finish(reason)

    def _part(self, part: Any) -> list[AnswerPart]:
        if part.thought:
            return []
        if (call := part.function_call) is not None and call.name:
            self._calls += 1
            self._answer.whole_call(
                self._calls,
                call.id,
                call.name,
                json_text(call.args or {}),
                self._opaque(part.thought_signature),
            )
        return self._answer.text(part.text)

    def _opaque(self, signature: bytes | None) -> Json:
        known: Json = {"model": self._model}
        if self._calls == 1:
            known["first"] = True
        if signature and len(signature) <= SIGNATURE_BOUND:
            known["signature"] = base64.b64encode(signature).decode("ascii")
        return {"gemini": known}
