"""Digits gathered into answers."""

import asyncio

from appliance.call.keypad import LONGEST, Keypad, words
from tests.rig.virtual_time import virtual_time


class Listener:
    """What a keypad with a pause of 50 ms says."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str]] = []
        self.keypad = Keypad(0.05, lambda call, digits: self.answers.append((call, digits)))

    def press(self, digits: str, call: str = "one") -> None:
        for digit in digits:
            self.keypad.press(call, digit)


@virtual_time
async def test_a_pause_ends_an_answer() -> None:
    listener = Listener()
    listener.press("12")
    assert listener.answers == []
    await asyncio.sleep(0.12)
    listener.press("3")
    await asyncio.sleep(0.12)
    assert listener.answers == [("one", "12"), ("one", "3")]


@virtual_time
async def test_the_hash_key_ends_it_at_once_and_alone_is_one() -> None:
    listener = Listener()
    listener.press("12#")
    listener.press("#")
    assert listener.answers == [("one", "12"), ("one", "#")]
    await asyncio.sleep(0.1)
    assert len(listener.answers) == 2


@virtual_time
async def test_calls_do_not_mix_and_a_call_that_is_over_answers_nothing() -> None:
    listener = Listener()
    listener.press("1", "one")
    listener.press("9", "two")
    listener.keypad.forget("one")
    await asyncio.sleep(0.12)
    assert listener.answers == [("two", "9")]


async def test_an_endless_answer_is_cut() -> None:
    listener = Listener()
    listener.press("1" * (LONGEST + 1))
    assert listener.answers == [("one", "1" * LONGEST)]
    listener.keypad.forget("one")


def test_the_model_is_told_single_digits() -> None:
    assert words("12*") == "pressed 1 2 *"
