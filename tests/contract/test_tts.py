"""What every text-to-speech stage must do, over real sockets, against strict services."""

# ruff: noqa: RUF001 - people write with all kinds of signs

import asyncio
import contextlib
import io
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance import log, plugins
from appliance.config.stages import stage_settings
from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.providers.tts.cartesia import CartesiaTts
from appliance.providers.tts.elevenlabs import ElevenLabsTts
from appliance.providers.tts.openai import OpenAiTts
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece, Sound, TextToSpeech, Word
from tests.fakes import openai_speech
from tests.fakes.cartesia import FakeCartesia
from tests.fakes.elevenlabs import FakeElevenLabs
from tests.fakes.openai_speech import FakeOpenAiSpeech
from tests.fakes.speech_cloud import MS_PER_CHARACTER, STEPS, sound_of, words_of

GREETING = "Hello there, this is your handset speaking."
PATIENT = Terms(dial=20.0, patience=20.0, keep=60.0)
HASTY = Terms(dial=0.3, patience=0.3, keep=60.0)


@dataclass(frozen=True)
class Service:
    """How a service differs from the others, for the tests. `rates` are wanted and given."""

    name: str
    cloud: Callable[[], Any]
    stage: Callable[..., TextToSpeech]
    rates: Mapping[int, int]
    variable: str
    steps: tuple[str, ...] = STEPS
    words: bool = True
    socket: bool = True
    """Pieces share a socket that is kept."""
    wrong: Mapping[str, str] = field(default_factory=lambda: {"model": "no-such-model", "voice": "nobody"})
    """Settings that the service refuses."""

    def __str__(self) -> str:
        return self.name


CARTESIA = Service(
    "cartesia",
    FakeCartesia,
    CartesiaTts,
    {8_000: 8_000, 16_000: 16_000, 24_000: 24_000, 48_000: 48_000, 11_025: 16_000, 96_000: 48_000},
    "CARTESIA_API_KEY",
)
ELEVENLABS = Service(
    "elevenlabs",
    FakeElevenLabs,
    ElevenLabsTts,
    {8_000: 8_000, 16_000: 16_000, 24_000: 24_000, 48_000: 24_000, 11_025: 16_000},
    "ELEVENLABS_API_KEY",
)
OPENAI = Service(
    "openai",
    FakeOpenAiSpeech,
    OpenAiTts,
    {8_000: 24_000, 24_000: 24_000, 48_000: 24_000},
    "OPENAI_API_KEY",
    steps=openai_speech.STEPS,
    words=False,
    socket=False,
)
SERVICES = [CARTESIA, ELEVENLABS, OPENAI]
SOCKETS = [service for service in SERVICES if service.socket]
SPOKEN = [service for service in SERVICES if service.words]


@pytest.fixture(params=SERVICES, ids=str)
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.param
    return found


@pytest.fixture
async def cloud(service: Service) -> AsyncIterator[Any]:
    before = asyncio.all_tasks()
    async with service.cloud() as running:
        yield running
        assert running.violations == []
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}, "something was left behind"


class Speaker:
    """Builds stages for a cloud, and closes them."""

    def __init__(self, service: Service, cloud: Any) -> None:
        self._service = service
        self._cloud = cloud
        self._built: list[TextToSpeech] = []

    def __call__(self, terms: Terms = PATIENT, **settings: Any) -> TextToSpeech:
        given = {"base_url": self._cloud.base_url, "api_key": self._cloud.key, **settings}
        stage = self._service.stage(given, terms=terms)
        self._built.append(stage)
        return stage

    async def close(self) -> None:
        for stage in self._built:
            await stage.close()


@pytest.fixture
async def build(service: Service, cloud: Any) -> AsyncIterator[Speaker]:
    speaker = Speaker(service, cloud)
    yield speaker
    await speaker.close()


@dataclass
class Heard:
    """All that came of a piece."""

    sounds: list[Sound] = field(default_factory=list)

    @property
    def pcm(self) -> bytes:
        return b"".join(sound.pcm for sound in self.sounds)

    @property
    def rates(self) -> set[int]:
        return {sound.rate for sound in self.sounds}

    @property
    def words(self) -> list[Word]:
        return [word for sound in self.sounds for word in sound.words]


async def until(holds: Callable[[], Any]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the fake
            await asyncio.sleep(0.01)


async def say(stage: TextToSpeech, text: str, **how: Any) -> Heard:
    heard = Heard()
    async for sound in stage.speak(Piece(text, **how)):
        assert len(sound.pcm) % 2 == 0
        heard.sounds.append(sound)
    return heard


async def say_at_last(stage: TextToSpeech, text: str) -> Heard:
    """A busy machine may take longer than a hasty stage waits."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ProviderUnavailable):
                return await say(stage, text)
            await asyncio.sleep(0.02)


# --- a piece ---


async def test_a_piece_is_spoken_whole(build, cloud):
    heard = await say(build(), GREETING)
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)
    assert heard.rates == {24_000}
    assert cloud.spoken[-1].text.strip() == GREETING


async def test_it_is_spoken_at_the_lines_own_rate_or_the_nearest_above_it(service, build, cloud):
    stage = build()
    for wanted, given in service.rates.items():
        heard = await say(stage, "Yes.", rate=wanted)
        assert heard.rates == {given}
        assert heard.pcm == sound_of(cloud.spoken[-1].text, given)


@pytest.mark.parametrize("service", SPOKEN, ids=str, indirect=True)
async def test_each_word_of_the_text_is_told_with_its_time(build):
    heard = await say(build(), GREETING)
    assert " ".join(word.text for word in heard.words) == GREETING
    starts = {word: begin for word, begin, _ in words_of(GREETING)}
    for word in heard.words:
        assert abs(word.start_ms - starts[word.text]) <= MS_PER_CHARACTER


@pytest.mark.parametrize("service", SPOKEN, ids=str, indirect=True)
async def test_a_service_that_tells_no_words_is_heard_all_the_same(build, cloud):
    cloud.tells_words = False
    heard = await say(build(), GREETING)
    assert heard.words == []
    assert heard.pcm


async def test_sound_comes_while_the_service_still_speaks(build, cloud):
    cloud.speed = 2.0
    stage = build()
    await stage.warm()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    assert not cloud.spoken[-1].done
    await sounds.aclose()


async def test_the_voice_of_the_piece_overrules_that_of_the_settings(service, build, cloud):
    other = sorted(cloud.voices)
    stage = build(voice=other[0])
    await say(stage, "One.")
    await say(stage, "Two.", voice=other[1])
    assert [spoken.voice for spoken in cloud.spoken] == other[:2]


@pytest.mark.parametrize("voice", ["marin", "f786b574-daa5-4673-aa0c-cbe3e8534c02", "JBFqnCBsd6RMkjVDRZzb"])
async def test_a_voice_of_another_service_does_not_silence_it(build, cloud, voice):
    stage = build()
    await say(stage, "With its own.")
    own = cloud.spoken[-1].voice
    await say(stage, "With another's.", voice=voice)
    assert cloud.spoken[-1].voice == (voice if voice in cloud.voices else own)


async def test_a_language_with_its_region_is_understood(build):
    assert (await say(build(), "Bom dia.", language="pt-BR")).pcm


# --- several pieces ---


async def test_pieces_spoken_side_by_side_do_not_mix(service, build, cloud):
    cloud.speed = 20.0
    texts = [f"This is piece number {number}, and no other." for number in range(6)]
    stage = build()
    heard = await asyncio.gather(*(say(stage, text) for text in texts))
    for text, one in zip(texts, heard, strict=True):
        assert one.pcm == sound_of(cloud.find(text).text, 24_000)
    if service.socket:
        assert cloud.dials == 1


async def test_never_more_are_asked_for_than_the_account_allows(build, cloud):
    stage = build(parallel=2)
    cloud.contexts = 2
    assert stage.parallel == 2
    await asyncio.gather(*(say(stage, f"Number {number}.") for number in range(8)))


async def test_many_pieces_are_cancelled_and_the_next_is_whole(build, cloud):
    cloud.speed = 2.0
    stage = build()
    for number in range(8):
        sounds = stage.speak(Piece(f"Number {number} will not be heard to its end."))
        await anext(sounds)
        await sounds.aclose()
    cloud.speed = 0.0
    heard = await say(stage, GREETING)
    assert heard.pcm == sound_of(cloud.find(GREETING).text, 24_000)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_a_piece_is_whole_or_has_failed(service, build, cloud, seed):
    """Pieces side by side, some cancelled at any moment, while links break and close; then all is well."""
    chance = random.Random(seed)
    stage = build()
    await stage.warm()
    cloud.speed = 20.0
    cloud.contexts = 99

    async def speak(number: int) -> None:
        text = f"Piece number {number}" + " and so on" * chance.randrange(6) + "."
        await asyncio.sleep(chance.random() * 0.4)
        cut = chance.choice([None, None, 0, 1, 3])
        heard = Heard()
        async with contextlib.aclosing(stage.speak(Piece(text))) as sounds:
            with contextlib.suppress(ProviderUnavailable):
                async for sound in sounds:
                    heard.sounds.append(sound)
                    if cut is not None and len(heard.sounds) > cut:
                        return
                assert heard.pcm == sound_of(cloud.find(text).text, 24_000)

    async def trouble() -> None:
        for _ in range(5):
            await asyncio.sleep(chance.random() * 0.15)
            chance.choice([cloud.drop, lambda: cloud.drop_at(chance.choice(service.steps))])()

    tasks = [asyncio.create_task(speak(number)) for number in range(16)]
    for task in chance.sample(tasks, 4):
        asyncio.get_running_loop().call_later(chance.random() * 0.5, task.cancel)
    await trouble()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
    cloud.speed = 0.0
    heard = await say_at_last(stage, GREETING)
    assert heard.pcm == sound_of(cloud.find(GREETING).text, 24_000)


# --- cancelling ---


async def test_closing_cancels_at_the_service(build, cloud):
    cloud.speed = 1.0
    stage = build()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    await sounds.aclose()
    await until(lambda: cloud.spoken[0].cancelled)


async def test_cancelling_twice_after_the_end_and_before_the_beginning_is_harmless(build):
    stage = build()
    sounds = stage.speak(Piece(GREETING))
    await sounds.aclose()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    await sounds.aclose()
    await sounds.aclose()
    sounds = stage.speak(Piece("Yes."))
    async for _ in sounds:
        pass
    await sounds.aclose()
    assert (await say(stage, GREETING)).pcm


async def test_a_piece_that_waits_for_the_dial_is_cancelled_at_once(build, cloud):
    cloud.hang_in_dial()
    stage = build()
    await stage.warm()
    task = asyncio.create_task(say(stage, GREETING))
    await until(lambda: cloud.dials)
    task.cancel()
    began = time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2
    assert (await say(stage, GREETING)).pcm


async def test_of_two_pieces_that_wait_for_the_dial_one_may_go(build, cloud):
    stage = build()
    await stage.warm()
    going, staying = asyncio.create_task(say(stage, "Go.")), asyncio.create_task(say(stage, "Stay."))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    going.cancel()
    assert (await staying).pcm == sound_of(cloud.find("Stay.").text, 24_000)


async def test_a_piece_can_be_cancelled_at_any_moment(build, cloud):
    cloud.speed = 20.0
    stage = build()
    await stage.warm()
    for delay in range(0, 60, 5):
        task = asyncio.create_task(say(stage, GREETING))
        await asyncio.sleep(delay / 1000)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert (await say(stage, "Still here.")).pcm == sound_of(cloud.find("Still here.").text, 24_000)


# --- what is hard to speak ---


@pytest.mark.parametrize("text", ["", "   \n", "🙂🎉", "...", "—", "\u200b", "\x00"])
async def test_a_piece_with_nothing_to_say_yields_nothing(build, cloud, text):
    assert (await say(build(), text)).sounds == []
    assert cloud.dials == 0


@pytest.mark.parametrize(
    "text",
    [
        "שלום, מה שלומך היום?",
        "مرحبا، كيف حالك؟",
        "你好，世界。今天天气很好。",
        "Wait <break time='2s'/> for <emotion value=\"angry\">it</emotion>.",
        "If 3 < 4 and 5 > 2, then <<b>i</b>> & so on.",
        "One\ntwo\r\nthree\tfour.",
        "Naïve café 🙂 costs 3,50 €.",
        'It is [[h@l\'oU]] and {json: "yes"}.',
    ],
)
async def test_whatever_is_written_is_spoken_as_plain_text(service, build, cloud, text):
    heard = await say(build(), text)
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)
    if service.words:
        assert " ".join(word.text for word in heard.words) == " ".join(text.split())


async def test_lone_surrogates_and_control_characters_do_no_harm(build, cloud):
    heard = await say(build(), "Be\x00fore \ud83d after\x1b.")
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)


async def test_a_very_long_piece_is_spoken_whole(service, build, cloud):
    text = " ".join(f"This is sentence number {number}, and there are more." for number in range(220))
    assert len(text) > 10_000
    cloud.chunk_ms = 2_000
    heard = await say(build(), text, rate=8_000)
    told = "".join(spoken.text for spoken in cloud.spoken)
    assert " ".join(told.split()) == text
    assert heard.pcm == b"".join(sound_of(spoken.text, next(iter(heard.rates))) for spoken in cloud.spoken)


# --- faults ---


@pytest.mark.parametrize(
    ("service", "step"),
    [(service, step) for service in SERVICES for step in service.steps],
    ids=str,
    indirect=["service"],
)
async def test_wherever_the_link_breaks_the_next_piece_is_whole(build, cloud, step):
    stage = build()
    cloud.drop_at(step)
    with pytest.raises(ProviderUnavailable):
        await say(stage, GREETING)
    assert (await say(stage, GREETING)).pcm == sound_of(cloud.spoken[-1].text, 24_000)


@pytest.mark.parametrize(
    ("service", "step"),
    [(service, step) for service in SOCKETS for step in service.steps[2:]],
    ids=str,
    indirect=["service"],
)
async def test_a_kept_link_that_breaks_costs_no_sound_twice(build, cloud, step):
    stage = build()
    await say(stage, "Yes.")
    cloud.drop_at(step)
    if step == "asked":  # nothing was spoken yet: it is asked for again, over a new link
        assert (await say(stage, GREETING)).pcm
    else:
        with pytest.raises(ProviderUnavailable):
            await say(stage, GREETING)
    assert (await say(stage, GREETING)).pcm == sound_of(cloud.spoken[-1].text, 24_000)


@pytest.mark.parametrize("service", SOCKETS, ids=str, indirect=True)
async def test_a_link_that_was_dropped_between_two_pieces_is_dialled_anew(build, cloud):
    stage = build()
    for how in ("drop", "close", "drop"):
        await say(stage, "Yes.")
        if how == "drop":
            cloud.drop()
        else:
            await cloud.close(1000, "connection idle timeout")
        assert (await say(stage, GREETING)).pcm == sound_of(cloud.spoken[-1].text, 24_000)


@pytest.mark.parametrize("service", SOCKETS, ids=str, indirect=True)
async def test_the_service_may_close_an_idle_link(build, cloud):
    cloud.idle = 0.1
    stage = build()
    await say(stage, "Yes.")
    await until(lambda: not cloud.live)
    cloud.idle = None
    assert (await say(stage, GREETING)).pcm


@pytest.mark.parametrize("service", SOCKETS, ids=str, indirect=True)
async def test_a_link_is_given_back_when_nobody_speaks_for_long(build, cloud):
    stage = build(Terms(dial=20.0, patience=20.0, keep=0.1))
    await say(stage, "Yes.")
    await until(lambda: not cloud.live)
    assert (await say(stage, GREETING)).pcm
    assert cloud.dials == 2


async def test_a_piece_that_stays_silent_is_given_up(build, cloud):
    stage = build(HASTY)
    await say_at_last(stage, "Yes.")
    cloud.will_be_silent()
    with pytest.raises(ProviderUnavailable):
        await say(stage, GREETING)
    assert (await say_at_last(stage, GREETING)).pcm


@pytest.mark.parametrize("service", SPOKEN, ids=str)
async def test_a_piece_whose_end_is_not_told_is_over_when_its_words_are(build, cloud):
    stage = build(Terms(dial=20.0, patience=60.0, ending=0.3))
    cloud.forgets_ends = True
    for text in (GREETING, "And here is more."):
        async with asyncio.timeout(20):
            heard = await say(stage, text)
        assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)
        assert [word.text for word in heard.words] == text.split()
    cloud.forgets_ends = False
    assert (await say(stage, GREETING)).pcm


async def test_a_path_that_falls_silent_is_noticed(service, build, cloud):
    cloud.speed = 1.0
    stage = build(Terms(dial=20.0, patience=60.0 if service.socket else 1.0))
    sounds = stage.speak(Piece(GREETING * 3))
    await anext(sounds)
    cloud.stall()
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        async for _ in sounds:
            pass
    assert time.monotonic() - began < 20
    cloud.speed = 0.0
    assert (await say(stage, GREETING)).pcm


async def test_a_dial_that_hangs_is_given_up(build, cloud):
    stage = build(HASTY)
    await stage.warm()
    cloud.hang_in_dial()
    with pytest.raises(ProviderUnavailable):
        await say(stage, GREETING)
    assert (await say_at_last(stage, GREETING)).pcm


async def test_nobody_listens_for_a_while(build, cloud):
    stage = build()
    cloud.refuse(0.2)
    with pytest.raises(ProviderUnavailable, match="nothing listens"):
        await say(stage, GREETING)
    assert (await say_at_last(stage, GREETING)).pcm


@pytest.mark.parametrize(
    ("tell", "fault"),
    [
        (lambda cloud: cloud.reject_credentials(), CredentialsRejected),
        (lambda cloud: cloud.quota(), QuotaExhausted),
        (lambda cloud: cloud.rate_limit(7), RateLimited),
        (lambda cloud: cloud.will_refuse(429, "concurrency_limited"), RateLimited),
        (lambda cloud: cloud.will_refuse(402, "quota_exceeded"), QuotaExhausted),
        (lambda cloud: cloud.will_refuse(401, "invalid_api_key"), CredentialsRejected),
        (lambda cloud: cloud.will_refuse(500, "internal"), ProviderUnavailable),
    ],
    ids=["credentials", "quota", "rate", "too many", "quota later", "credentials later", "internal"],
)
async def test_what_the_service_refuses_is_told_for_what_it_is(build, cloud, tell, fault):
    stage = build()
    tell(cloud)
    with pytest.raises(ApplianceError) as told:
        await say(stage, GREETING)
    assert type(told.value) is fault
    assert cloud.key not in str(told.value)
    assert GREETING not in str(told.value)
    assert (await say(stage, GREETING)).pcm


async def test_the_service_says_when_to_come_again(build, cloud):
    cloud.rate_limit(7)
    with pytest.raises(RateLimited) as told:
        await say(build(), GREETING)
    assert told.value.retry_after == 7


@pytest.mark.parametrize("key", ["model", "voice"])
async def test_a_model_or_voice_that_there_is_not(service, build, key):
    with pytest.raises(SetupRejected):
        await say(build(**{key: service.wrong[key]}), GREETING)


async def test_a_wrong_key_is_refused(build):
    with pytest.raises(CredentialsRejected):
        await say(build(api_key="not-the-right-key-0000"), GREETING)


async def test_what_nobody_can_use_is_passed_over_and_counted(service, build, cloud):
    if not hasattr(service.stage, "counters"):
        pytest.skip("nothing but sound comes of this service")
    cloud.garbage()
    stage = build()
    heard = await say(stage, GREETING)
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)
    assert sum(stage.counters().values()) > 0


# --- beginning and end ---


async def test_without_a_key_it_says_which_variable_to_set(service, build, monkeypatch):
    monkeypatch.delenv(service.variable, raising=False)
    stage = build(api_key="")
    with pytest.raises(CredentialsRejected) as told:
        await say(stage, GREETING)
    assert service.variable in told.value.hint


async def test_the_usual_variable_works(service, build, cloud, monkeypatch):
    monkeypatch.setenv(service.variable, cloud.key)
    assert (await say(build(api_key=""), "Yes.")).pcm


def test_a_key_that_there_is_not_is_refused(service):
    with pytest.raises(ConfigurationInvalid, match="voise"):
        service.stage({"voise": "x"})


async def test_warming_up_is_done_once_however_many_ask(build, cloud):
    stage = build()
    await asyncio.gather(*(stage.warm() for _ in range(5)))
    assert cloud.dials == 0
    assert (await say(stage, "Yes.")).pcm


async def test_closing_ends_what_is_spoken_and_may_be_done_twice(build, cloud):
    cloud.speed = 1.0
    stage = build()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    began = time.monotonic()
    await stage.close()
    await stage.close()
    assert time.monotonic() - began < 2
    with pytest.raises(ProviderUnavailable):
        async for _ in sounds:
            pass


async def test_closing_while_it_dials(build, cloud):
    cloud.hang_in_dial()
    stage = build()
    await stage.warm()
    task = asyncio.create_task(say(stage, GREETING))
    await until(lambda: cloud.dials)
    await stage.close()
    with pytest.raises(ProviderUnavailable):
        await task


async def test_neither_what_is_said_nor_the_key_reaches_the_log(build, cloud):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    try:
        log.begin("debug")
        root.handlers[:] = [logging.StreamHandler(written)]
        cloud.garbage()
        await say(build(), "The secret word is abracadabra.")
        cloud.drop_at(STEPS[3])
        with contextlib.suppress(ProviderUnavailable):
            await say(build(), "The secret word is abracadabra.")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "abracadabra" not in written.getvalue()
    assert cloud.key not in written.getvalue()


def test_it_is_found_by_its_name_and_takes_its_section(service):
    stage: Any = plugins.load("appliance.tts", service.name)
    assert stage.name == service.name
    assert not stage.local
    section = {"api_key": "k", "base_url": "http://127.0.0.1:1", "tts_voice": "somebody"}
    settings = stage_settings("tts", stage, section, {})
    assert settings["voice"] == "somebody"
    stage(settings)
