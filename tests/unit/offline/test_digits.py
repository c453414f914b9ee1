"""Digits said one by one."""

import pytest

from appliance.providers.offline.digits import SpokenDigits
from tests.rig.spoken import speech

pytest.importorskip("pocketsphinx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "digits"), [("four seven one one", "4711"), ("eight zero five two six", "80526"), ("nine", "9")]
)
def test_digits_are_heard_in_their_order(said: str, digits: str) -> None:
    assert SpokenDigits().hear(speech(said, lead=0.2, tail=0.3).tobytes()) == digits


@pytest.mark.slow
def test_what_is_no_digit_is_none() -> None:
    assert SpokenDigits().hear(speech("please let me in my good friend", lead=0.2, tail=0.3).tobytes()) == ""
