"""Somebody speaks in the room of a booted box: into the driver of its sound card, and hears its loudspeaker."""

from tests.image.machine import Machine
from tests.image.room import RATE, Room
from tests.image.words import CLOCK_CAVEAT
from tests.rig.answers import assert_tells_the_time


def test_the_time_asked_aloud_is_heard_from_the_loudspeaker(box: Machine):
    box.ready(path="/ready")
    heard = Room(box).say("what time is it", seconds=20)
    assert_tells_the_time(heard, RATE, box.local_time(), then=CLOCK_CAVEAT)
