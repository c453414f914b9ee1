"""Speech to text of a chain that goes away: what was said is kept until it is understood."""

import asyncio
from collections.abc import Callable

from appliance.errors import ProviderUnavailable
from appliance.frames import Frame
from appliance.interfaces import (
    ProviderTrouble,
    SendAudio,
)
from appliance.stages import Hearing
from tests.fakes.stages import FakeSpeechToText, FakeTranscription
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker


@virtual_time
async def test_a_turn_survives_the_loss_of_its_connection():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        speaking = asyncio.create_task(talker.says(1, 2.0))
        await asyncio.sleep(1.0)
        talker.stt[0].drop()
        await speaking
        await talker.answered()
        assert talker.understood() == ["what time is it"]
        assert len(talker.stt[0].connections) == 2
        assert len(talker.stt[0].connections[1].turns[1].pcm) == 2 * 32_000


@virtual_time
async def test_a_turn_waits_for_a_service_that_is_away_and_nothing_of_it_is_lost():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        talker.stt[0].go_down()
        await talker.says(1, 1.0)
        talker.stt[0].come_up()
        await talker.answered()
        assert talker.understood() == ["what time is it"]
        assert len(talker.stt[0].connections[-1].turns[1].pcm) == 32_000


@virtual_time
async def test_the_next_ear_listens_when_the_first_stays_away():
    async with Talker(stt=(FakeSpeechToText("a"), FakeSpeechToText("b"))) as talker:
        talker.stt[1].will_hear("hello", "again")
        talker.stt[0].go_down()
        await talker.says(1, 5.0)
        await talker.answered()
        assert talker.understood() == ["hello"]
        assert len(talker.stt[1].connections[0].turns[1].pcm) == 5 * 32_000


@virtual_time
async def test_the_first_ear_is_gone_back_to_in_silence():
    async with Talker(stt=(FakeSpeechToText("a"), FakeSpeechToText("b"))) as talker:
        talker.stt[1].will_hear("hello")
        talker.stt[0].go_down()
        await talker.says(1, 5.0)
        await talker.answered()
        talker.stt[0].come_up()
        talker.stt[0].will_hear("there")
        await asyncio.sleep(60)
        await talker.says(2)
        await talker.answered(2)
        assert talker.understood() == ["hello", "there"]


@virtual_time
async def test_when_no_ear_is_left_the_connection_ends_and_says_why():
    async with Talker() as talker:
        talker.stt[0].go_down()
        speaking = asyncio.create_task(talker.says(1, 10.0))
        await talker.ended()
        assert isinstance(talker.fault, ProviderUnavailable)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


@virtual_time
async def test_an_ear_that_is_lost_while_nobody_speaks_is_dialled_again_for_ever():
    async with Talker() as talker:
        talker.stt[0].will_hear("hello")
        talker.stt[0].go_down()
        await asyncio.sleep(3_600)
        assert not talker.over
        talker.stt[0].come_up()
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]


@virtual_time
async def test_a_final_transcript_that_never_comes_is_asked_for_anew():
    async with Talker() as talker:
        talker.stt[0].will_hear("hello")
        talker.stt[0].hang_in_final()
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]


@virtual_time
async def test_who_goes_on_talking_does_not_put_off_what_is_owed():
    async with Talker() as talker:
        talker.stt[0].will_hear("hello", "there")
        talker.stt[0].hang_in_final()
        await talker.says(1)
        speaking = asyncio.create_task(talker.says(2, 20.0))
        await asyncio.sleep(10.0)
        assert len(talker.stt[0].connections) == 2
        await speaking


@virtual_time
async def test_a_turn_that_ends_every_connection_is_given_up():
    async with Talker() as talker:
        talker.stt[0].hang_in_final(9)
        await talker.says(1)
        assert (await talker.answered()).status == "silent"
        codes = [trouble.code for trouble in talker.all(ProviderTrouble)]
        assert "turn_not_understood" in codes


@virtual_time
async def test_a_turn_beyond_the_journal_loses_its_oldest_sound_and_counts_it():
    async with Talker() as talker:
        talker.stt[0].go_down()
        talker.stt[0].come_up()
        for _ in range(70 * 50):
            await talker.connection.send(SendAudio(1, Frame(bytes(640), 16_000, 0.0)))
        assert talker.connection.counters()["stt_dropped_ms"] == 10_000


class Interrupted(FakeSpeechToText):
    """Somebody begins to speak at the very moment at which it is gone back to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.speak: Callable[[], object] = lambda: None

    async def connect(self, hearing: Hearing) -> FakeTranscription:
        connection = await super().connect(hearing)
        asyncio.get_running_loop().call_soon(self.speak)
        return connection


@virtual_time
async def test_who_begins_to_speak_while_the_first_ear_is_gone_back_to_loses_no_word():
    first = Interrupted("a")
    async with Talker(stt=(first, FakeSpeechToText("b"))) as talker:
        talker.stt[1].will_hear("hello")
        first.go_down()
        await talker.says(1, 5.0)
        await talker.answered()
        first.come_up()
        first.will_hear("there")
        first.speak = lambda: talker.ear.hear(2, bytes(640))
        await asyncio.sleep(60)
        await talker.says(2, 0.98)
        await talker.answered(2)
        assert talker.understood() == ["hello", "there"]
        assert len(first.connections[-1].turns[2].pcm) == 32_000


class Hanging(FakeSpeechToText):
    """Once it is told to, its dials come to nothing: packets to it are lost."""

    hangs_in_dials = False

    async def connect(self, hearing: Hearing) -> FakeTranscription:
        if self.hangs_in_dials:
            await asyncio.Event().wait()
        return await super().connect(hearing)


@virtual_time
async def test_an_ear_whose_dial_hangs_does_not_keep_the_next_from_being_asked_in_time():
    first, second = Hanging("a"), FakeSpeechToText("b")
    first.hangs_in_dials = True
    second.will_hear("hello")
    began = asyncio.get_running_loop().time()
    async with Talker(stt=(first, second)) as talker:
        assert asyncio.get_running_loop().time() - began < 2.5
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]


@virtual_time
async def test_who_speaks_while_the_redial_of_an_ear_hangs_is_understood_by_the_next_soon():
    first, second = Hanging("a"), FakeSpeechToText("b")
    second.will_hear("hello")
    async with Talker(stt=(first, second)) as talker:
        first.hangs_in_dials = True
        first.drop()
        began = asyncio.get_running_loop().time()
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]
        assert asyncio.get_running_loop().time() - began < 8.0
