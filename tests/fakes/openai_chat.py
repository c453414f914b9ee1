"""OpenAI's language models for tests: Chat Completions and Responses, with what the service refuses.

    async with FakeOpenAiChat() as cloud:
        model = OpenAiLanguageModel({"base_url": cloud.base_url, "api_key": cloud.key})

`FakeOpenAiChat(strict_templates=True)` refuses too what chat templates of local models do. See streamed_answers.py.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.fakes.streamed_answers import Asked, Frame, Json, Plan, Refused, StreamedAnswers

MODELS = frozenset({"gpt-6-luna", "gpt-6-sol", "gpt-5.4-mini"})
EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_CHAT_KEYS = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "temperature",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
        "prompt_cache_key",
    }
)
_RESPONSES_KEYS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "store",
        "tools",
        "temperature",
        "max_output_tokens",
        "reasoning",
        "include",
        "prompt_cache_key",
    }
)
_REASONS = {"stop": "stop", "length": "length", "filter": "content_filter", "other": "something_new"}


class FakeOpenAiChat(StreamedAnswers):
    """Both APIs at one address."""

    path = "/v1"

    def __init__(self, *, keyless: bool = False, strict_templates: bool = True) -> None:
        super().__init__(keyless=keyless)
        self.strict_templates = strict_templates
        self.models = set(MODELS)
        self.offers: list[str] | int = sorted(MODELS)
        """What it lists, or the status with which it says that it does not."""
        self.sealed: list[str] = []
        """The thoughts that it gave away, as nobody else can read them."""

    def told_key(self, headers: Mapping[str, str]) -> str:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key if scheme == "Bearer" else ""

    def error(self, status: int, code: str) -> Json:
        return {"error": {"message": "a sentence", "type": "some_error", "param": None, "code": code or None}}

    def check(self, asked: Asked) -> None:
        model = asked.body.get("model")
        match asked.path:
            case "/v1/chat/completions":
                check_chat(asked.body, templates=self.strict_templates)
            case "/v1/responses":
                check_responses(asked.body, frozenset(self.sealed))
            case _:
                raise Refused("no such path", status=404, code="unknown_url")
        if model not in self.models:
            raise Refused("no such model", status=404, code="model_not_found")

    def listing(self, asked: Asked) -> tuple[int, Json] | None:
        if asked.path != "/v1/models":
            return None
        if isinstance(self.offers, int):
            return self.offers, self.error(self.offers, "unknown_url")
        if not self.keyless and self.told_key(asked.headers) != self.key:
            return 401, self.error(401, "invalid_api_key")
        return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.offers]}

    def frames(self, plan: Plan, asked: Asked) -> Iterator[Frame]:
        if asked.path == "/v1/responses":
            return self._response(plan, asked)
        return _chat(plan, asked)

    def _response(self, plan: Plan, asked: Asked) -> Iterator[Frame]:
        events = _Responses(plan, asked, self.sealed)
        for number, (event, text) in enumerate(events.all()):
            event["sequence_number"] = number
            data = f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
            yield Frame(data, text=text, last=event["type"] in ("response.completed", "response.incomplete"))


# --- Chat Completions ---


def check_chat(body: Json, *, templates: bool = True) -> None:
    """Raise Refused for a request that the service would not take; `templates`: nor would those of local models."""
    _known(body, _CHAT_KEYS)
    if body.get("stream") is not True or body.get("stream_options") != {"include_usage": True}:
        raise Refused("only streams are expected here")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Refused("both limits")
    _check_common(body, body.get("reasoning_effort"))
    for tool in body.get("tools", ()):
        _known(tool, {"type", "function"})
        _check_tool(tool, tool.get("function", {}), {"name", "description", "parameters"})
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages is empty")
    _check_messages(messages)
    if templates:
        _check_template(messages)


def _check_messages(messages: list[Json]) -> None:
    awaited: list[str] = []
    seen: set[str] = set()
    for number, message in enumerate(messages):
        role = message.get("role")
        _utf8(message)
        if awaited and role != "tool":
            raise Refused(f"calls without an outcome before message {number}")
        match role:
            case "system":
                _known(message, {"role", "content"})
                if number:
                    raise Refused("a system message in the middle")
            case "user":
                _known(message, {"role", "content"})
                _filled(message.get("content"))
            case "assistant":
                _known(message, {"role", "content", "tool_calls"})
                awaited = [_check_call(call) for call in message.get("tool_calls", ())]
                if len(set(awaited)) != len(awaited) or seen & set(awaited):
                    raise Refused("two calls of one id")
                seen |= set(awaited)
                if not awaited:
                    _filled(message.get("content"))
            case "tool":
                _known(message, {"role", "content", "tool_call_id"})
                if message.get("tool_call_id") not in awaited:
                    raise Refused("an outcome without its call")
                awaited.remove(message["tool_call_id"])
                _filled(message.get("content"))
            case _:
                raise Refused("no such role")
    if awaited:
        raise Refused("calls without an outcome at the end")


def _check_template(messages: list[Json]) -> None:
    """As the templates of Mistral and Gemma: user first, then in turn; what comes last is to be answered."""
    spoken = [message for message in messages if message["role"] != "system"]
    if not spoken or spoken[0]["role"] != "user":
        raise Refused("the first message is not the user's")
    if spoken[-1]["role"] == "assistant":
        raise Refused("the last message is the assistant's")
    roles = [message["role"] for message in spoken]
    if any(pair in (("user", "user"), ("assistant", "assistant")) for pair in itertools.pairwise(roles)):
        raise Refused("roles do not alternate")


def _check_call(call: Json) -> str:
    _known(call, {"id", "type", "function"})
    function = call.get("function", {})
    _known(function, {"name", "arguments"})
    if call.get("type") != "function" or not _NAME.match(str(function.get("name"))):
        raise Refused("no tool name")
    _check_arguments(function.get("arguments"))
    return _check_id(call.get("id"))


def _chat(plan: Plan, asked: Asked) -> Iterator[Frame]:
    def frame(delta: Json | None, *, reason: str | None = None, text: bool = False, **more: Any) -> Frame:
        choices = (
            [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]
        )
        event = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": asked.body["model"],
            "choices": choices,
            "usage": None,
            **more,
        }
        return Frame(
            f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode(), text=text, last=bool(reason)
        )

    yield frame({"role": "assistant", "content": "", "refusal": None})
    for word in plan.thoughts.split():
        yield frame({"reasoning_content": f"{word} "})
    for piece in _pieces(plan):
        yield frame({"content": piece}, text=True)
    for delta in chat_calls(plan):
        yield frame(delta, text=True)
    if plan.error:
        yield Frame(
            f"data: {json.dumps({'error': {'code': plan.error, 'message': 'a sentence'}})}\n\n".encode()
        )
        return
    calls = plan.calls and plan.reason == "stop"
    yield frame({}, reason="tool_calls" if calls else _REASONS[plan.reason])
    if plan.usage is not None:
        inputs, outputs = plan.usage
        usage = {"prompt_tokens": inputs, "completion_tokens": outputs, "total_tokens": inputs + outputs}
        yield frame(None, usage=usage)
    yield Frame(b"data: [DONE]\n\n")


def chat_calls(plan: Plan) -> Iterator[Json]:
    """The deltas of calls in the form of one server or another."""
    for index, (tool, arguments) in enumerate(plan.calls):
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call_id = f"call_{(plan.form or 'plain').replace(' ', '_')}_{index}"
        whole = {"index": index, "id": call_id, "function": {"name": tool, "arguments": written}}
        first, second = _halves(written)
        deltas = FORMS[plan.form](whole, tool, first, second)
        if plan.form == "object":
            deltas[0]["function"]["arguments"] = arguments
        yield from (
            {"function_call": delta} if plan.form == "old" else {"tool_calls": [delta]} for delta in deltas
        )


def _in_pieces(whole: Json, tool: str, first: str, second: str) -> list[Json]:
    """As OpenAI: the name at first, then the arguments by the index."""
    index = whole["index"]
    begin = {
        "index": index,
        "id": whole["id"],
        "type": "function",
        "function": {"name": tool, "arguments": ""},
    }
    return [begin, *({"index": index, "function": {"arguments": part}} for part in (first, second))]


FORMS: Mapping[str, Callable[[Json, str, str, str], list[Json]]] = {
    "": _in_pieces,
    "whole": lambda whole, *_: [whole],
    "no id": lambda whole, *_: [_without(whole, "id")],
    "no index": lambda whole, *_: [_without(whole, "index")],
    "no index in pieces": lambda whole, tool, first, second: [
        {"id": whole["id"], "function": {"name": tool, "arguments": first}},
        {"function": {"arguments": second}},
    ],
    "one index": lambda whole, *_: [{**whole, "index": 0}],
    "one index, no id": lambda whole, *_: [{"index": 0, "function": whole["function"]}],
    "object": lambda whole, *_: [whole],
    "short id": lambda whole, *_: [{**whole, "id": str(whole["index"])}],
    "repeated": lambda whole, tool, first, second: [
        {**whole, "function": {"name": tool, "arguments": part}} for part in (first, second)
    ],
    "old": lambda _whole, tool, first, second: [{"name": tool, "arguments": first}, {"arguments": second}],
}
"""The forms in which servers were seen to write a call."""


def _without(value: Json, key: str) -> Json:
    return {name: one for name, one in value.items() if name != key}


# --- Responses ---


def check_responses(body: Json, sealed: frozenset[str] = frozenset()) -> None:
    """Raise Refused for a request that the service would not take."""
    _known(body, _RESPONSES_KEYS)
    if body.get("stream") is not True or body.get("store") is not False:
        raise Refused("it is to be streamed, and not kept")
    effort = body.get("reasoning", {}).get("effort")
    _check_common(body, effort)
    if body.get("include") and (
        body["include"] != ["reasoning.encrypted_content"] or effort in (None, "none")
    ):
        raise Refused("encrypted content is not supported with this model")
    if body.get("max_output_tokens", 16) < 16:
        raise Refused("max_output_tokens is below the least")
    for tool in body.get("tools", ()):
        _check_tool(tool, tool, {"type", "name", "description", "parameters", "strict"})
    items = body.get("input")
    if not isinstance(items, list) or not items:
        raise Refused("input is empty")
    conversation = _Items(sealed)
    for item in items:
        conversation.take(item)
    if conversation.open:
        raise Refused("no tool output found for function call")


class _Items:
    """The input of a response, item by item; `open` are the calls whose outcome is to come."""

    def __init__(self, sealed: frozenset[str]) -> None:
        self.open: set[str] = set()
        self._seen: set[str] = set()
        self._sealed = sealed
        self._takers = {
            "message": self._message,
            "reasoning": self._reasoning,
            "function_call": self._call,
            "function_call_output": self._outcome,
        }

    def take(self, item: Json) -> None:
        _utf8(item)
        taker = self._takers.get(str(item.get("type")))
        if taker is None:
            raise Refused("no such item")
        taker(item)

    def _message(self, item: Json) -> None:
        _known(item, {"type", "role", "content"})
        _filled(item.get("content"))
        if item.get("role") not in ("user", "assistant") or self.open:
            raise Refused("a message between a call and its outcome, or of nobody")

    def _reasoning(self, item: Json) -> None:
        _known(item, {"type", "id", "summary", "encrypted_content"})
        if item.get("encrypted_content") not in self._sealed:
            raise Refused("the encrypted content could not be verified", code="invalid_encrypted_content")

    def _call(self, item: Json) -> None:
        _known(item, {"type", "call_id", "name", "arguments"})
        _check_arguments(item.get("arguments"))
        name = _check_id(item.get("call_id"))
        if name in self._seen or not _NAME.match(str(item.get("name"))):
            raise Refused("two calls of one id, or no name")
        self._seen.add(name)
        self.open.add(name)

    def _outcome(self, item: Json) -> None:
        _known(item, {"type", "call_id", "output"})
        if item.get("call_id") not in self.open:
            raise Refused("no tool call found for function call output")
        self.open.remove(item["call_id"])
        _filled(item.get("output"))


class _Responses:
    """The events of one response."""

    def __init__(self, plan: Plan, asked: Asked, sealed: list[str]) -> None:
        self._plan = plan
        self._asked = asked
        self._sealed = sealed
        self._output: list[Json] = []

    def all(self) -> Iterator[tuple[Json, bool]]:
        plan = self._plan
        for kind in ("response.created", "response.in_progress"):
            yield {"type": kind, "response": self._response("in_progress")}, False
        if plan.form == "at once":
            self._output = [self._message("".join(plan.pieces))] if plan.pieces else []
            self._output += [self._call(index) for index in range(len(plan.calls))]
            yield self._end()
            return
        if plan.thoughts:
            yield from self._thoughts()
        if plan.pieces:
            yield from self._text()
        for index in range(len(plan.calls)):
            yield from self._called(index)
        if plan.error:
            failed = {**self._response("failed"), "error": {"code": plan.error, "message": "a sentence"}}
            yield {"type": "response.failed", "response": failed}, False
            return
        yield self._end()

    def _thoughts(self) -> Iterator[tuple[Json, bool]]:
        item = {"type": "reasoning", "id": f"rs_{len(self._sealed)}", "summary": []}
        place = len(self._output)
        yield {"type": "response.output_item.added", "output_index": place, "item": item}, False
        for word in self._plan.thoughts.split():
            for kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
                yield {"type": kind, "output_index": place, "item_id": item["id"], "delta": f"{word} "}, False
        if self._asked.body.get("include"):
            self._sealed.append(f"sealed-{len(self._sealed)}-{len(self._plan.thoughts)}")
            item = {**item, "encrypted_content": self._sealed[-1]}
        self._output.append(item)
        yield {"type": "response.output_item.done", "output_index": place, "item": item}, False

    def _text(self) -> Iterator[tuple[Json, bool]]:
        place, at = len(self._output), {"item_id": "msg_1", "content_index": 0}
        item = self._message("")
        yield {"type": "response.output_item.added", "output_index": place, "item": item}, False
        said = ""
        for piece in _pieces(self._plan):
            said += piece
            yield {"type": "response.output_text.delta", "output_index": place, "delta": piece, **at}, True
        yield {"type": "response.output_text.done", "output_index": place, "text": said, **at}, False
        self._output.append(self._message(said))
        yield {"type": "response.output_item.done", "output_index": place, "item": self._output[-1]}, False

    def _called(self, index: int) -> Iterator[tuple[Json, bool]]:
        place, item = len(self._output), self._call(index)
        at = {"output_index": place, "item_id": item["id"]}
        yield (
            {"type": "response.output_item.added", "output_index": place, "item": {**item, "arguments": ""}},
            True,
        )
        if self._plan.form != "whole":
            for part in _halves(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", "delta": part, **at}, True
            yield (
                {"type": "response.function_call_arguments.done", "arguments": item["arguments"], **at},
                False,
            )
        self._output.append(item)
        yield {"type": "response.output_item.done", "output_index": place, "item": item}, False

    def _call(self, index: int) -> Json:
        tool, arguments = self._plan.calls[index]
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        item = {"type": "function_call", "id": f"fc_{index}", "name": tool, "arguments": written}
        return item if self._plan.form == "no id" else {**item, "call_id": f"call_response_{index}"}

    def _message(self, said: str) -> Json:
        content = [{"type": "output_text", "text": said, "annotations": []}] if said else []
        return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}

    def _end(self) -> tuple[Json, bool]:
        reasons = {"length": "max_output_tokens", "filter": "content_filter", "other": "something_new"}
        if self._plan.reason == "stop":
            return {"type": "response.completed", "response": self._response("completed")}, False
        details = {"incomplete_details": {"reason": reasons[self._plan.reason]}}
        return {"type": "response.incomplete", "response": {**self._response("incomplete"), **details}}, False

    def _response(self, status: str) -> Json:
        response: Json = {
            "id": "resp_1",
            "object": "response",
            "status": status,
            "output": self._output,
            "usage": None,
        }
        if status in ("completed", "incomplete") and self._plan.usage is not None:
            inputs, outputs = self._plan.usage
            response["usage"] = {"input_tokens": inputs, "output_tokens": outputs}
        return response


# --- both ---


def _pieces(plan: Plan) -> Iterator[str]:
    yield from plan.pieces
    while plan.endless:
        yield from plan.pieces


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _check_common(body: Json, effort: object) -> None:
    if effort is not None and effort not in EFFORTS:
        raise Refused("no such effort", code="unsupported_value")
    if body.get("temperature") is not None and effort not in (None, "none"):
        raise Refused("temperature is not supported while it thinks", code="unsupported_parameter")
    if body.get("tools") and "messages" in body and effort not in (None, "none"):
        raise Refused("function tools with reasoning only over /v1/responses", code="unsupported_parameter")


def _check_tool(tool: Json, function: Json, keys: set[str]) -> None:
    _known(function, keys)
    if tool.get("type") != "function" or not _NAME.match(str(function.get("name"))):
        raise Refused("no tool")
    if not isinstance(function.get("parameters"), dict):
        raise Refused("no parameters")


def _check_id(name: object) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= 64:
        raise Refused("no call id, or one too long", code="string_above_max_length")
    return name


def _check_arguments(text: object) -> None:
    try:
        value = json.loads(str(text), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused("arguments are no object")


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _known(value: Json, keys: frozenset[str] | set[str]) -> None:
    if unknown := set(value) - keys:
        raise Refused(f"unknown parameter: {sorted(unknown)}", code="unknown_parameter")


def _filled(content: object) -> None:
    if not isinstance(content, str) or not content.strip():
        raise Refused("content is empty")


def _utf8(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as fault:
        raise Refused("no UTF-8") from fault
