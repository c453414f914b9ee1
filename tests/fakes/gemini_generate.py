"""Gemini's generateContent for tests, streamed or at once, with what the service refuses.

    async with FakeGeminiGenerate() as cloud:
        model = GeminiLanguageModel({"base_url": cloud.base_url, "api_key": cloud.key})

See streamed_answers.py. What the SDK sends in two kinds of case is read in one.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.streamed_answers import Asked, Frame, Json, Plan, Refused, StreamedAnswers

MODELS = frozenset({"gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-3.1-flash-lite"})
LEVELS = {
    "gemini-3.5-flash-lite": {"MINIMAL", "LOW", "MEDIUM", "HIGH"},
    "gemini-3.1-flash-lite": {"MINIMAL", "LOW", "MEDIUM", "HIGH"},
    "gemini-3.8-flash": {"LOW", "MEDIUM", "HIGH"},
}
STAND_IN = "skip_thought_signature_validator"
_PATH = re.compile(r"^/v1(?:beta)?/models/([^:/]+):(streamGenerateContent\?alt=sse|generateContent)$")
_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$")
_KEYS = {"contents", "systemInstruction", "tools", "generationConfig"}
_GENERATION_KEYS = {"temperature", "maxOutputTokens", "thinkingConfig", "candidateCount"}
_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY", "other": "OTHER"}
_ERRORS = {
    "invalid_api_key": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "insufficient_quota": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, look at plan and billing.",
    ),
    "rate_limit_exceeded": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "server_error": (503, "UNAVAILABLE", "The model is overloaded."),
}


class FakeGeminiGenerate(StreamedAnswers):
    def __init__(self, *, keyless: bool = False) -> None:
        super().__init__(keyless=keyless)
        self.signatures: set[str] = set()
        """What it gave away, and takes back."""

    def told_key(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-goog-api-key", "")

    def error(self, status: int, code: str) -> Json:
        told, name, message = _ERRORS.get(code, (status, "SOMETHING", "a sentence"))
        return {"error": {"code": told, "message": message, "status": name}}

    def reject_credentials(self) -> None:
        self.fail(400, "invalid_api_key")

    def check(self, asked: Asked) -> None:
        path = _PATH.match(asked.path)
        if path is None:
            raise Refused("no such path", status=404)
        if path[1] not in MODELS:
            raise Refused("no such model", status=404)
        check_generate(asked.body, path[1], frozenset(self.signatures))

    def frames(self, plan: Plan, asked: Asked) -> Iterator[Frame]:
        for word in plan.thoughts.split():
            yield self._frame(asked, [{"text": f"{word} ", "thought": True}])
        yield self._frame(asked, [])
        pieces = iter(plan.pieces)
        for piece in pieces:
            yield self._frame(asked, [{"text": piece}], text=True)
        while plan.endless:
            for piece in plan.pieces:
                yield self._frame(asked, [{"text": piece}], text=True)
        parts = self._calls(plan)
        if plan.form == "one by one":
            for part in parts:
                yield self._frame(asked, [part], text=True)
        elif parts:
            yield self._frame(asked, parts, text=True)
        if plan.error:
            yield Frame(f"data: {json.dumps(self.error(503, plan.error))}\r\n\r\n".encode())
            return
        yield self._frame(asked, [{"text": ""}], last=True, plan=plan)

    def _calls(self, plan: Plan) -> list[Json]:
        parts: list[Json] = []
        for number, (tool, arguments) in enumerate(plan.calls):
            if isinstance(arguments, str):
                continue  # the model wrote no object, and the service does not hand it on
            call: Json = {"name": tool, "args": arguments}
            if plan.form != "no id":
                call["id"] = f"fc{number}"
            part: Json = {"functionCall": call}
            if not number:
                signature = base64.b64encode(f"signature {len(self.signatures)} ??>>".encode()).decode()
                self.signatures.add(signature)
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def _frame(
        self,
        asked: Asked,
        parts: list[Json],
        *,
        text: bool = False,
        last: bool = False,
        plan: Plan | None = None,
    ) -> Frame:
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        response: Json = {"candidates": [candidate], "modelVersion": "test", "responseId": "r1"}
        if plan is not None:
            candidate["finishReason"] = _REASONS[plan.reason]
            if plan.usage is not None:
                inputs, outputs = plan.usage
                counted = {
                    "promptTokenCount": inputs,
                    "candidatesTokenCount": outputs - 1,
                    "thoughtsTokenCount": 1,
                }
                response["usageMetadata"] = {**counted, "totalTokenCount": inputs + outputs}
        data = f"data: {json.dumps(response, ensure_ascii=False)}\r\n\r\n".encode()
        return Frame(data, text=text, last=last)


def check_generate(body: Json, model: str, signatures: frozenset[str] = frozenset()) -> None:
    """Raise Refused for a request that the service would not take."""
    body = _camel(body)
    _known(body, _KEYS)
    generation = body.get("generationConfig", {})
    _known(generation, _GENERATION_KEYS)
    level = generation.get("thinkingConfig", {}).get("thinkingLevel")
    if level is not None and level not in LEVELS[model]:
        raise Refused("thinking level is not supported for this model")
    for tool in body.get("tools", ()):
        for declared in tool["functionDeclarations"]:
            _known(declared, {"name", "description", "parametersJsonSchema"})
            if not _NAME.match(declared["name"]):
                raise Refused("no function name")
    for part in body.get("systemInstruction", {}).get("parts", ()):
        _text(part.get("text"))
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Refused("contents is not specified")
    _check_contents(contents, signatures)


def _check_contents(contents: list[Json], signatures: frozenset[str]) -> None:
    if contents[0].get("role") != "user" or contents[-1].get("role") != "user":
        raise Refused("the user speaks first and last")
    asked: list[Json] = []
    before = "user"
    for content in contents:
        _known(content, {"role", "parts"})
        role, parts = content.get("role"), content.get("parts")
        if role not in ("user", "model") or not parts:
            raise Refused("no role, or no parts")
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        outcomes = [part["functionResponse"] for part in parts if "functionResponse" in part]
        for part in parts:
            _check_part(part)
        if len(outcomes) != len(asked) or (asked and len(outcomes) != len(parts)):
            raise Refused("the number of function response parts is not that of the function call parts")
        for call, outcome in zip(asked, outcomes, strict=True):
            if (call["name"], call["id"]) != (outcome["name"], outcome["id"]):
                raise Refused("an outcome of another call")
        if calls and (role != "model" or before != "user"):
            raise Refused(
                "a function call turn comes immediately after a user turn or a function response turn"
            )
        _check_signatures(parts, signatures)
        asked, before = calls, role
    if asked:
        raise Refused("calls without outcomes")


def _check_signatures(parts: list[Json], signatures: frozenset[str]) -> None:
    signed = [part for part in parts if "functionCall" in part]
    for number, part in enumerate(signed):
        signature = part.get("thoughtSignature")
        if signature is None and number == 0:
            raise Refused("function call is missing a thought_signature in functionCall parts")
        if signature not in (None, STAND_IN) and _standard(signature) not in signatures:
            raise Refused("corrupted thought signature")


def _check_part(part: Json) -> None:
    _known(part, {"text", "functionCall", "functionResponse", "thoughtSignature"})
    if "text" in part:
        _text(part["text"])
    if call := part.get("functionCall"):
        _known(call, {"id", "name", "args"})
    if outcome := part.get("functionResponse"):
        _known(outcome, {"id", "name", "response"})
    for value in (part.get("functionCall"), part.get("functionResponse")):
        if value is not None:
            if not _NAME.match(value.get("name", "")) or not value.get("id"):
                raise Refused("no name, or no id")
            if not isinstance(value.get("args", value.get("response", {})), dict):
                raise Refused("no object")
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _standard(signature: str) -> str:
    return signature.replace("-", "+").replace("_", "/")


def _text(value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise Refused("an empty text")
    try:
        value.encode()
    except UnicodeEncodeError as fault:
        raise Refused("no UTF-8") from fault


def _known(value: Json, keys: set[str]) -> None:
    if unknown := set(value) - keys:
        raise Refused(f"unknown name: {sorted(unknown)}")


def _camel(value: Any, *, inside: bool = False) -> Any:
    """Keys in camel case, but those of a tool's own objects."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict) or inside:
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): one for key, one in value.items()}
    own = {"args", "response", "parametersJsonSchema"}
    return {key: _camel(one, inside=key in own) for key, one in named.items()}
