"""Tool calls that a model wrote as text, in the forms that small local models use. Pure.

{"name": "get_time", "arguments": {"zone": "UTC"}}      one, several, or a list of them; `parameters` likewise
get_time>{"zone": "UTC"}, get_time[ARGS]{"zone": "UTC"}
<function=get_time><parameter=zone>UTC</parameter></function>
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from appliance.providers.llm.conversation import json_text, object_of

_NAMES: Final = ("name", "tool", "tool_name", "function")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
_NAMED: Final = re.compile(r"(?:<function=)?([A-Za-z_][\w.-]{0,63})\s*(?:\[ARGS\]|>)?\s*")
_PARAMETER: Final = re.compile(r"<parameter=([\w.-]{1,64})>(.*?)</parameter>", re.DOTALL)
_BEGINS: Final = ("{", "[{", "```json", "```tool")
_FENCE: Final = re.compile(r"^```\w*\s*|\s*```\s*$")


def calls_in(text: str, tools: Collection[str]) -> list[tuple[str, str]]:
    """Name and arguments (JSON text) of the calls that `text` is; none where it is anything else, or of no tool."""
    text = _FENCE.sub("", text.strip()).strip()
    found = list(_read(text))
    sound = [(name, arguments) for name, arguments in found if name in tools and arguments is not None]
    return [(name, json_text(arguments)) for name, arguments in sound] if len(sound) == len(found) else []


def may_be_calls(text: str) -> bool:
    """An answer that begins with `text` may be nothing but calls."""
    bare = text.lstrip()
    return any(bare.startswith(begin) or begin.startswith(bare) for begin in _BEGINS)


def _read(text: str) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Each call, without arguments where these are malformed."""
    named = _NAMED.match(text)
    if named is None:
        for value in _values(text):
            for one in value if isinstance(value, list) else [value]:
                yield _call(one)
        return
    rest = text[named.end() :].removesuffix("</function>")
    parameters = {name: _value(value.strip()) for name, value in _PARAMETER.findall(rest)}
    yield named[1], parameters or object_of(rest.strip() or "{}")


def _values(text: str) -> Iterator[Any]:
    """The JSON values that stand one after the other; None for what is none."""
    decoder = json.JSONDecoder()
    while text := text.lstrip(" \t\r\n,;"):
        try:
            value, end = decoder.raw_decode(text)
        except (ValueError, RecursionError):
            yield None
            return
        yield value
        text = text[end:]


def _call(value: Any) -> tuple[str, Mapping[str, Any] | None]:
    if isinstance(value, dict) and isinstance(inner := value.get("function"), dict):
        value = inner
    if not isinstance(value, dict):
        return "", None
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), "")
    arguments: Any = next((value[key] for key in _ARGUMENTS if key in value), {})
    return name, object_of(arguments if isinstance(arguments, str) else json.dumps(arguments))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
