"""Frozen data classes for files that hold many of them: all are compared, hashed and shown by the same functions.

`dataclasses.dataclass` writes and compiles six functions for each class, at each start: with two hundred of them a
fifth of what it takes to load the daemon. A `record` needs three, and is else the same: `fields`, `replace`, `match`.
"""

import functools
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool, kw_only: bool = False) -> Callable[[type], type]:
        """`@record(frozen=True, slots=True)`: the words are those of `dataclass`, which type checkers take it for."""
        if not (frozen and slots):
            raise TypeError("a record is frozen and has slots: take dataclass")

        def made(kind: type) -> type:
            # Otherwise the signature is made out for it, which costs as much as a function.
            kind.__doc__ = kind.__doc__ or kind.__name__
            same = dataclass(frozen=True, slots=True, kw_only=kw_only, eq=False, repr=False)(kind)
            same.__eq__, same.__hash__, same.__repr__ = _equal, _hashed, _shown
            return same

        return made


@functools.cache
def _compared(kind: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.compare)


def _values(one: Any) -> tuple[Any, ...]:
    return tuple(getattr(one, name) for name in _compared(one.__class__))


def _equal(one: Any, other: object) -> bool:
    return _values(one) == _values(other) if other.__class__ is one.__class__ else NotImplemented


def _hashed(one: Any) -> int:
    return hash(_values(one))


@reprlib.recursive_repr()
def _shown(one: Any) -> str:
    shown = (f"{item.name}={getattr(one, item.name)!r}" for item in fields(one) if item.repr)
    return f"{one.__class__.__qualname__}({', '.join(shown)})"
