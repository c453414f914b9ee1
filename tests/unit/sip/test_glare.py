"""A re-INVITE of ours that meets one of the far end's, or is refused."""

import pytest

from drivers.sip_pjsua2.glare import Wish, glare_delay


def answers(wish: Wish, code: int, *, now: float = 100.0, ours: bool = False, chance: float = 0.5) -> str:
    return wish.answered(code, now, ours=ours, chance=chance)


@pytest.mark.parametrize(
    ("ours", "chance", "seconds"), [(True, 0, 2.1), (True, 1, 4), (False, 0, 0), (False, 1, 2)]
)
def test_the_two_sides_wait_for_different_times(ours: bool, chance: float, seconds: float) -> None:
    assert glare_delay(ours=ours, chance=chance) == pytest.approx(seconds)


def test_after_a_glare_it_is_tried_again_once_it_is_time() -> None:
    wish = Wish()
    wish.begin("hold")
    assert answers(wish, 491) == ""
    assert (wish.due(100.9), wish.due(101.0), wish.due(102.0)) == ("", "hold", "")
    assert answers(wish, 200) == ""
    assert wish.what == ""


def test_a_challenge_and_what_is_underway_are_no_answer_and_a_refusal_is_told_once() -> None:
    wish = Wish()
    wish.begin("resume")
    assert [answers(wish, code) for code in (100, 401, 407)] == ["", "", ""]
    assert answers(wish, 488) == "resume"
    assert answers(wish, 488) == ""


def test_a_new_wish_takes_the_place_of_one_that_waits() -> None:
    wish = Wish()
    wish.begin("hold")
    answers(wish, 491)
    wish.begin("resume")
    assert wish.due(200.0) == ""
    assert wish.what == "resume"
