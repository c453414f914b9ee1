"""A PIN that is keyed in."""

from appliance.call.pin import PinEntry, Verdict


def keyed(entry: PinEntry, digits: str) -> list[Verdict]:
    return [verdict for digit in digits if (verdict := entry.press(digit)) is not None]


def test_the_right_pin_is_right_with_its_last_digit() -> None:
    assert keyed(PinEntry("4711"), "4711") == [Verdict.RIGHT]


def test_a_star_begins_anew_and_a_hash_ends() -> None:
    assert keyed(PinEntry("4711"), "47*4711") == [Verdict.RIGHT]
    assert keyed(PinEntry("4711"), "47#") == [Verdict.WRONG]


def test_the_third_wrong_entry_is_the_last() -> None:
    assert keyed(PinEntry("4711"), "1234" * 3) == [Verdict.WRONG, Verdict.WRONG, Verdict.OVER]


def test_a_hash_after_all_the_digits_is_no_entry_of_its_own() -> None:
    assert keyed(PinEntry("4711"), "1234#4711#") == [Verdict.WRONG, Verdict.RIGHT]
    assert keyed(PinEntry("4711"), "1234##") == [Verdict.WRONG, Verdict.WRONG]


def test_nothing_entered_is_never_right_nor_is_an_empty_pin() -> None:
    assert PinEntry("4711").late() is Verdict.WRONG
    assert keyed(PinEntry(""), "#") == [Verdict.WRONG]


def test_it_never_shows_the_digits() -> None:
    entry = PinEntry("4711")
    entry.press("4")
    assert "4711" not in repr(entry)
    assert "4" not in repr(entry)
