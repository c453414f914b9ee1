"""What every text-to-speech stage makes of the faults of its service."""

import asyncio
import time

import pytest

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece
from tests.contract.tts.services import GREETING, HASTY, SERVICES, SOCKETS, SPOKEN
from tests.contract.tts.speaking import say, say_at_last, until
from tests.fakes.speech_cloud import sound_of


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
