"""What is wrong with a value, in words of our own: the library's tell of its types, and of no remedy. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

_WHOLE: Final = "should be a whole number"
_NUMBER: Final = "should be a number"
_SWITCH: Final = "should be true or false"
_TEXT: Final = 'should be text, in quotes: "..."'
_LIST: Final = 'should be a list: ["...", "..."]'
_TABLE: Final = "should be a table"
_FIXED: Final[Mapping[str, str]] = {
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_parsing": _SWITCH,
    "bool_type": _SWITCH,
    "string_type": _TEXT,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
}
_BOUNDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "less_than_equal": lambda told: f"should be at most {told['le']:g}",
    "greater_than_equal": lambda told: f"should be at least {told['ge']:g}",
    "less_than": lambda told: f"should be less than {told['lt']:g}",
    "greater_than": lambda told: f"should be more than {told['gt']:g}",
    "too_short": lambda told: f"should name at least {told['min_length']}; without the key the default holds",
    "too_long": lambda told: f"should name at most {told['max_length']}",
}


def address(text: str) -> str:
    """`text` to be shown in quotes, without the user and password that somebody put before its @."""
    login, at, rest = text.rpartition("@")
    scheme, mark, _ = login.partition("://")
    return repr(f"{scheme + mark if mark else ''}...@{rest}" if at else text)


def wrong(one: Mapping[str, Any]) -> str:
    """`one` of the errors of pydantic. Without the value: that is for the caller, who knows whether it is a secret."""
    kind = str(one["type"])
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _BOUNDS:
        return _BOUNDS[kind](one["ctx"])
    return str(one["msg"]).removeprefix("Value error, ").removeprefix("Input ")
