"""News that the room is owed is said until it was heard there, a few times at most."""

import pytest

from appliance.aloud import AGAIN_SECONDS, TIMES, Aloud
from appliance.errors import NotPossible
from appliance.interfaces import LineKind
from tests.fakes.voice import MS_PER_CHARACTER
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

NEWS = "I am set up. My name on the network is kitchen."


class Household:
    """A booth that is a room, and who notes what counts as heard there."""

    def __init__(self, booth: Booth) -> None:
        self.booth = booth
        self.heard: list[str] = []
        self.aloud = Aloud(booth.bus, booth.lines.notify_room)

    def owe(self, text: str = NEWS, key: str = "news") -> None:
        self.aloud.tell(key, text, "label", lambda: self.heard.append(text))

    async def fall_silent(self, seconds: float = 1.0) -> None:
        """The session ends before the speaker takes anything."""
        self.booth.speaker.gone = True
        await self.booth.wait(seconds)
        await self.booth.session.close("hang-up")

    def times(self, text: str = NEWS) -> float:
        heard_ms = self.booth.heard(self.booth.voice.level(text)) if text in self.booth.voice.spoken else 0
        return heard_ms / (MS_PER_CHARACTER * len(text.replace(". ", ".")))


def room() -> Booth:
    return Booth(kind=LineKind.ROOM, open_session=False)


@virtual_time
async def test_what_sounded_counts_as_told_and_is_said_once():
    async with room() as booth:
        home = Household(booth)
        home.owe()
        assert home.heard == [], "it is only about to be said"
        await booth.wait(5.0)
        assert home.heard == [NEWS]
        await booth.session.close("hang-up")
        await booth.wait(3 * AGAIN_SECONDS)
        assert (home.heard, home.times()) == ([NEWS], 1.0)


@virtual_time
async def test_what_did_not_sound_before_its_session_ended_is_said_again():
    async with room() as booth:
        home = Household(booth)
        home.owe()
        await home.fall_silent()
        await booth.wait(AGAIN_SECONDS - 1.0)
        assert home.heard == []
        booth.speaker.gone = False
        await booth.wait(6.0)
        assert (home.heard, home.times()) == ([NEWS], 1.0)


@pytest.mark.slow
@virtual_time
async def test_it_is_said_again_a_few_times_and_no_more():
    async with room() as booth:
        home = Household(booth)
        home.owe()
        for _ in range(TIMES - 1):
            await home.fall_silent()
            await booth.wait(AGAIN_SECONDS + 0.1)
        await home.fall_silent()
        await booth.wait(10 * AGAIN_SECONDS)
        assert booth.lines.sessions() == ()
        assert home.heard == []


@virtual_time
async def test_newer_news_takes_the_place_of_what_did_not_sound():
    async with room() as booth:
        home = Household(booth)
        home.owe()
        await home.fall_silent()
        booth.speaker.gone = False
        home.owe("Another password holds.")
        await booth.wait(2 * AGAIN_SECONDS)
        assert home.heard == ["Another password holds."]
        assert home.times() == 0


@virtual_time
@pytest.mark.parametrize("by", ["the voice", "a call"])
async def test_what_broke_off_is_said_again(by):
    async with room() as booth:
        home = Household(booth)
        booth.voice.breaks_after = 1 if by == "the voice" else 0
        home.owe()
        await booth.wait(1.5)
        await booth.session.close("hang-up")
        await booth.wait(AGAIN_SECONDS - 1.0)
        assert home.heard == []
        await booth.wait(6.0)
        assert home.heard == [NEWS]
        assert 1.0 < home.times() < 2.0


@virtual_time
async def test_what_somebody_there_cut_off_is_not():
    async with room() as booth:
        home = Household(booth)
        home.owe()
        await booth.wait(1.5)
        booth.session.interrupt("button")
        await booth.wait(0.2)
        assert home.heard == [NEWS]
        await booth.session.close("hang-up")
        await booth.wait(2 * AGAIN_SECONDS)
        assert home.times() < 1.0


@virtual_time
async def test_what_was_cut_off_before_it_began_does_not_make_the_news_heard():
    async with room() as booth:
        home = Household(booth)
        booth.provider.will_say("It is noon, and the sun shines.", 5.0)
        await booth.speak(0.8)
        await booth.state("speaking")
        home.owe()
        booth.session.interrupt("button")
        await booth.wait(2.0)
        await booth.session.close("hang-up")
        assert 0 < home.times() < 1.0, "its beginning sounded"
        assert home.heard == []
        await booth.wait(AGAIN_SECONDS + 6.0)
        assert home.heard == [NEWS]


@virtual_time
async def test_where_there_is_no_room_any_more_it_is_given_up():
    async with room() as booth:
        home = Household(booth)
        home.owe()
        await home.fall_silent()
        await booth.lines.close_line("room", "unplugged")
        with pytest.raises(NotPossible):
            home.owe()
        await booth.wait(2 * AGAIN_SECONDS)
        assert home.heard == []
