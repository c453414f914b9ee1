"""Limits: minutes a call and a day, and a person who is silent for too long. Warned, finished, said goodbye, ended."""

import math

import pytest

from appliance.config.schema import Limits
from appliance.events import SessionStateChanged, UsageReported, Warned
from appliance.interfaces import Capabilities, LineKind, ProviderUsage
from appliance.session.allowance import Allowance, Notice
from appliance.session.phrases import Phrase, phrase
from appliance.session.usage import Usage
from tests.fakes.provider import FakeProvider
from tests.fakes.voice import MS_PER_CHARACTER
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

pytestmark = pytest.mark.slow

LONG = "one two three four five six seven eight nine ten"
NEAR = phrase(Phrase.LIMIT_NEAR, "en")
OVER = phrase(Phrase.LIMIT_REACHED, "en")
DAY = phrase(Phrase.LIMIT_DAY, "en")
THERE = phrase(Phrase.STILL_THERE, "en")
BYE = phrase(Phrase.IDLE, "en")


class Calendar:
    def __init__(self, day: str = "2026-03-01") -> None:
        self.day = day

    def __call__(self) -> str:
        return self.day


class Book:
    """Keeps what the store would."""

    def __init__(self) -> None:
        self.talk: dict[tuple[str, str], float] = {}
        self.usage: dict[tuple[str, str, str], tuple[float, float]] = {}

    def add_talk(self, day: str, provider: str, seconds: float) -> None:
        self.talk[day, provider] = self.talk.get((day, provider), 0.0) + seconds

    def add_usage(
        self, day: str, provider: str, unit: str, input_amount: float, output_amount: float
    ) -> None:
        before = self.usage.get((day, provider, unit), (0.0, 0.0))
        self.usage[day, provider, unit] = before[0] + input_amount, before[1] + output_amount


def ms(text: str) -> int:
    """How long the booth's voice takes; between sentences it takes no breath."""
    return MS_PER_CHARACTER * len(text.replace(". ", "."))


def codes(booth: Booth) -> list[str]:
    return [event.code for event in booth.of(Warned)]


# --- minutes a call ---


@virtual_time
async def test_a_call_is_warned_before_its_limit_and_ends_with_a_goodbye_that_was_heard():
    async with Booth(limits=Limits(minutes_per_call=10)) as booth:
        session, begun = booth.session, booth.loop.time()
        await booth.until(lambda: booth.voice.spoken == [THERE], seconds=300)
        await booth.speak(0.5)
        await booth.until(lambda: NEAR in booth.voice.spoken, seconds=600)
        assert 539 <= booth.loop.time() - begun <= 541
        await booth.until(lambda: not session.open, seconds=90)
        assert booth.heard(booth.voice.level(OVER)) == ms(OVER)
        assert 600 <= booth.loop.time() - begun <= 600 + 5
        assert codes(booth) == ["still_there", "limit_near", "limit_reached"]
        assert booth.of(SessionStateChanged)[-1].reason == "limit"
        await booth.wait(0.1)
        assert booth.closed == [("phone-1", session.id, "limit")]


@virtual_time
async def test_a_short_limit_is_told_when_a_fifth_of_it_is_left():
    async with Booth(limits=Limits(minutes_per_call=1)) as booth:
        assert 47 <= await booth.until(lambda: booth.voice.spoken == [NEAR], seconds=60) <= 48


@virtual_time
async def test_the_answer_under_way_at_the_limit_is_heard_to_its_end():
    async with Booth(limits=Limits(minutes_per_call=1)) as booth:
        session = booth.session
        await booth.wait(54)
        booth.provider.will_say(LONG, 10.0)
        await booth.speak(3.0)
        await booth.until(lambda: not session.open, seconds=30)
        assert booth.heard(booth.provider.answers[0].level) == 10_000
        assert booth.heard(booth.voice.level(OVER)) == ms(OVER)


@virtual_time
async def test_an_answer_without_an_end_is_broken_off_after_the_limit():
    async with Booth(limits=Limits(minutes_per_call=1)) as booth:
        session, begun = booth.session, booth.loop.time()
        await booth.wait(54)
        booth.provider.will_say(LONG, 100.0)
        await booth.speak(3.0)
        await booth.until(lambda: not session.open, seconds=40)
        assert 80 <= booth.loop.time() - begun <= 84
        assert booth.heard(booth.voice.level(OVER)) == ms(OVER)


@virtual_time
async def test_who_talks_without_end_hears_the_goodbye_and_cannot_interrupt_it():
    async with Booth(limits=Limits(minutes_per_call=1)) as booth:
        session = booth.session
        await booth.wait(50)
        booth.microphone.voiced = True
        await booth.until(lambda: not session.open, seconds=40)
        assert booth.heard(booth.voice.level(OVER)) == ms(OVER)
        assert booth.of(SessionStateChanged)[-1].reason == "limit"


@virtual_time
async def test_without_a_limit_a_call_goes_on():
    async with Booth(idle_timeout=100_000.0) as booth:
        await booth.wait(1800)
        assert booth.session.open
        assert booth.voice.spoken == []


# --- minutes a day ---


@virtual_time
async def test_the_day_is_the_sum_over_sessions_and_when_it_is_used_up_a_new_one_is_told_so():
    limits = Limits(minutes_per_day=2)
    async with Booth(limits=limits, idle_timeout=1000.0) as booth:
        await booth.wait(70)
        await booth.session.close("hang-up")
        await booth.wait(500)
        first = booth.lines.open_session(booth.line)
        await booth.until(lambda: not first.open, seconds=60)
        assert booth.voice.spoken == [NEAR, DAY]
        assert 2.0 <= booth.usage.seconds_today() / 60 <= 2.1
        assert booth.lines.status()["limits"]["minutes_today"] == round(booth.usage.seconds_today() / 60, 2)
        dials = booth.provider.dials
        await booth.wait(0.5)
        second = booth.lines.open_session(booth.line)
        await booth.until(lambda: not second.open, seconds=10)
        await booth.wait(0.1)
        assert booth.provider.dials == dials
        assert booth.closed[-1] == ("phone-1", second.id, "limit")
        assert codes(booth)[-1] == "limit_day"


@virtual_time
async def test_speech_in_the_room_is_told_that_the_day_is_used_up():
    usage = Usage(1, today=Calendar())
    usage.talked("fake", 60.0)
    async with Booth(
        kind=LineKind.ROOM, open_session=False, limits=Limits(minutes_per_day=1), usage=usage
    ) as booth:
        await booth.speak(2.0)
        session = booth.session
        await booth.until(lambda: not session.open, seconds=15)
        assert booth.heard(booth.voice.level(DAY)) == ms(DAY)
        assert booth.provider.dials == 0


@virtual_time
async def test_talk_to_a_local_provider_does_not_count_for_the_day_but_for_the_call():
    local = FakeProvider("fake", Capabilities(input_rate=16_000, output_rate=16_000, local=True))
    usage = Usage(1, local={"fake"}, today=Calendar())
    limits = Limits(minutes_per_day=1, minutes_per_call=4)
    async with Booth(providers=[local], limits=limits, usage=usage, idle_timeout=1000.0) as booth:
        session = booth.session
        await booth.wait(200)
        assert session.open
        assert usage.seconds_today() == 0
        await booth.until(lambda: not session.open, seconds=60)
        assert OVER in booth.voice.spoken


@virtual_time
async def test_the_time_without_a_connection_does_not_count_for_the_day():
    async with Booth(limits=Limits(minutes_per_day=5), idle_timeout=1000.0) as booth:
        await booth.wait(30)
        booth.provider.go_down()
        await booth.wait(100)
        assert 25 <= booth.usage.seconds_today() <= 35


def test_midnight_begins_a_new_day_and_a_clock_that_is_put_back_finds_the_old_one():
    calendar, book = Calendar("2026-03-01"), Book()
    usage = Usage(10, book=book, today=calendar)
    usage.load([{"day": "2026-03-01", "provider": "openai", "seconds": 540.0}], [])
    assert usage.left_today() == 60
    usage.talked("openai", 60.0)
    assert usage.left_today() == 0
    calendar.day = "2026-03-02"
    assert usage.left_today() == 600
    usage.talked("openai", 5.0)
    calendar.day = "2026-03-01"
    assert usage.left_today() == 0
    usage.write()
    assert book.talk == {("2026-03-01", "openai"): 60.0, ("2026-03-02", "openai"): 5.0}


def test_at_most_a_quarter_of_a_minute_is_unwritten():
    book = Book()
    usage = Usage(10, book=book, today=Calendar())
    usage.load([], [])
    for _ in range(600):
        usage.talked("openai", 0.1)
        assert usage.seconds_today() - sum(book.talk.values()) <= 15.1


def test_nothing_is_counted_twice_when_the_kept_sums_come_late():
    book = Book()
    usage = Usage(10, book=book, today=Calendar())
    usage.talked("openai", 30.0)
    usage.notice(UsageReported(provider="openai", input=3, output=4, unit="tokens"))
    assert book.talk == {}
    usage.load(
        [{"day": "2026-03-01", "provider": "openai", "seconds": 60.0}],
        [{"day": "2026-03-01", "provider": "openai", "unit": "tokens", "input": 10.0, "output": 20.0}],
    )
    usage.write()
    assert usage.seconds_today() == 90
    assert book.talk == {("2026-03-01", "openai"): 30.0}
    assert book.usage == {("2026-03-01", "openai", "tokens"): (3, 4)}
    assert usage.provider_counters("openai") == {
        "talk_seconds_today": 90.0,
        "input_tokens_today": 13.0,
        "output_tokens_today": 24.0,
    }


def test_the_table_of_notices():
    allowance = Allowance(10, 0, 0.0)
    assert allowance.look(539.0, math.inf) is None
    assert allowance.look(540.0, math.inf) is Notice.NEAR
    assert allowance.look(541.0, math.inf) is None
    assert allowance.look(600.0, math.inf) is Notice.CALL_OVER
    day = Allowance(0, 1, 0.0)
    assert day.look(5.0, 13.0) is None
    assert day.look(5.0, 12.0) is Notice.NEAR
    assert day.look(5.0, 0.0) is Notice.DAY_OVER


# --- nobody there ---


@virtual_time
async def test_a_silent_caller_is_asked_and_then_hung_up_on_after_a_goodbye():
    async with Booth(idle_timeout=60.0) as booth:
        session = booth.session
        assert 44 <= await booth.until(lambda: booth.voice.spoken == [THERE], seconds=60) <= 46
        assert 15 <= await booth.until(lambda: booth.voice.spoken == [THERE, BYE], seconds=30) <= 18
        await booth.until(lambda: not session.open)
        assert booth.heard(booth.voice.level(BYE)) == ms(BYE)
        await booth.wait(0.1)
        assert booth.closed == [("phone-1", session.id, "idle_timeout")]
        assert codes(booth) == ["still_there", "idle"]


@virtual_time
async def test_who_answers_the_question_stays_and_is_asked_again_the_next_time():
    async with Booth(idle_timeout=60.0) as booth:
        await booth.until(lambda: booth.voice.spoken == [THERE], seconds=60)
        await booth.wait(10)
        await booth.speak(1.0)
        await booth.idle()
        assert 44 <= await booth.until(lambda: booth.voice.spoken == [THERE, THERE], seconds=60) <= 46
        assert booth.session.open


@virtual_time
async def test_what_the_provider_sends_by_itself_keeps_nobody_on_the_line():
    async with Booth(idle_timeout=30.0) as booth:
        session = booth.session

        def send_usage() -> None:
            if session.open:
                booth.provider.tell(ProviderUsage(1, 2, "tokens"))
                booth.loop.call_later(5.0, send_usage)

        send_usage()
        await booth.until(lambda: not session.open, seconds=45)
        assert booth.of(UsageReported)


@virtual_time
async def test_the_room_falls_silent_without_a_word():
    async with Booth(kind=LineKind.ROOM, idle_timeout=30.0) as booth:
        session = booth.session
        await booth.until(lambda: not session.open, seconds=31)
        assert booth.voice.spoken == []
        assert booth.of(SessionStateChanged)[-1].reason == "idle_timeout"
