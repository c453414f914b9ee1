"""A record is a frozen data class, whatever it saves."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from appliance.interfaces import HistoryItem, Setup
from appliance.records import record


@record(frozen=True, slots=True)
class Point:
    """Where."""

    kind: ClassVar[str] = "flat"
    x: int
    y: int = 0
    note: str = field(default="", compare=False, repr=False)


@record(frozen=True, slots=True, kw_only=True)
class Solid(Point):
    z: int


def twin(kind: type[Any], **more: bool) -> Any:
    """The same class as `dataclasses` makes it."""

    class Same:
        __qualname__ = kind.__qualname__
        __annotations__ = {item.name: item.type for item in fields(kind)}
        x: int
        y = 0
        note = field(default="", compare=False, repr=False)

    return dataclass(frozen=True, slots=True, **more)(Same)


def test_it_is_shown_and_hashed_as_a_data_class_and_equal_where_that_is() -> None:
    same = twin(Point)
    ours = [Point(1), Point(1, 2), Point(1, 2, "a"), Point(2, 1)]
    theirs = [same(1), same(1, 2), same(1, 2, "a"), same(2, 1)]
    assert [repr(one) for one in ours] == [repr(one) for one in theirs]
    assert [hash(one) for one in ours] == [hash(one) for one in theirs]
    assert [[a == b for a in ours] for b in ours] == [[a == b for a in theirs] for b in theirs]
    assert len({*ours}) == 3


def test_it_equals_nothing_of_another_class() -> None:
    assert Point(1) != twin(Point)(1)
    assert Point(1) != Solid(x=1, z=0)
    assert Solid(x=1, z=2) == Solid(x=1, z=2) != Solid(x=1, z=3)
    assert repr(Solid(x=1, z=2)) == "Solid(x=1, y=0, z=2)"


def test_it_is_frozen_has_no_other_attributes_and_can_be_matched_replaced_and_copied() -> None:
    point = Point(1, 2)
    with pytest.raises(FrozenInstanceError):
        point.x = 3  # type: ignore[misc]
    assert not hasattr(point, "__dict__")
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)
    assert replace(point, y=5) == Point(1, 5)
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point  # noqa: S301
    assert (Point.__doc__, Solid.__doc__, Point.kind) == ("Where.", "Solid", "flat")


def test_the_providers_words_are_records() -> None:
    setup = Setup("s", history=(HistoryItem("user", "hello"),))
    assert setup == Setup("s", history=(HistoryItem("user", "hello"),)) != Setup("t")
    assert "history=(HistoryItem(role='user'" in repr(setup)


def test_only_a_frozen_class_can_be_one() -> None:
    with pytest.raises(TypeError, match="frozen"):
        record(frozen=False, slots=True)(object)
