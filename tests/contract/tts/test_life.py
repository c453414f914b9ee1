"""How every text-to-speech stage is built, warmed and closed, and what it keeps to itself."""

import asyncio
import contextlib
import io
import logging
import time
from typing import Any

import pytest

from appliance import log, plugins
from appliance.config.stages import stage_settings
from appliance.errors import ConfigurationInvalid, CredentialsRejected, ProviderUnavailable
from appliance.stages import Piece
from tests.contract.tts.services import GREETING
from tests.contract.tts.speaking import say, until
from tests.fakes.speech_cloud import STEPS


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
