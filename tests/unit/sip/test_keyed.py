"""A digit that the far end keys in is told once."""

from drivers.sip_pjsua2.keyed import SILENCE, Digit, Keyed

ONE = Digit("1", 100, "rfc4733")


def test_a_digit_that_is_held_is_one_and_lasts_as_long_as_was_told_last() -> None:
    keyed = Keyed()
    assert keyed.told(ONE, 0.0, goes_on=False) is None
    assert keyed.told(Digit("1", 180, "rfc4733"), 0.1, goes_on=True) is None
    assert keyed.end() == Digit("1", 180, "rfc4733")
    assert keyed.end() is None


def test_the_same_digit_twice_is_two_and_another_ends_it_though_it_seems_to_go_on() -> None:
    keyed = Keyed()
    keyed.told(ONE, 0.0, goes_on=False)
    assert keyed.told(ONE, 0.1, goes_on=False) == ONE
    assert keyed.told(Digit("2", 0, "info"), 0.2, goes_on=True) == ONE


def test_one_whose_end_was_lost_is_over_after_a_silence() -> None:
    keyed = Keyed()
    keyed.told(ONE, 10.0, goes_on=False)
    assert keyed.tick(10.0 + SILENCE) is None
    assert keyed.tick(10.1 + SILENCE) == ONE
    assert keyed.tick(20.0) is None


def test_a_length_that_cannot_be_is_not_believed() -> None:
    keyed = Keyed()
    keyed.told(Digit("1", 4_000_000_000, "rfc4733"), 0.0, goes_on=False)
    assert keyed.end() == Digit("1", 0, "rfc4733")
