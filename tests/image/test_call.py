"""A telephone calls a booted box from outside, over SIP and RTP."""

from tests.image.caller import OutsideCaller, wait
from tests.image.machine import Machine
from tests.image.words import CLOCK_CAVEAT
from tests.rig.answers import assert_tells_the_time
from tests.rig.telephone_sound import RATE


def test_a_caller_from_outside_asks_the_time_and_hears_it(box: Machine):
    box.ready(path="/ready")
    with OutsideCaller(box) as caller:
        wait(lambda: len(caller.arrived) > 50, 600.0, "a second of sound from the box")
        since = len(caller.arrived)
        caller.say("what time is it")
        heard = caller.hears_an_answer(since)
    print(f"answered after {caller.setup_seconds:.1f} s")
    assert_tells_the_time(heard, RATE, box.local_time(), then=CLOCK_CAVEAT)
