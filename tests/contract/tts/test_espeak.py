"""The device's own voice as a stage: real espeak-ng."""

import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest

from appliance import plugins
from appliance.errors import ConfigurationInvalid, DriverMissing, ProviderUnavailable
from appliance.providers.tts.espeak import DEFAULT_VOICE, EspeakTts, voices
from appliance.stages import Piece

TEXT = "Hello there, this is your handset speaking."


async def pcm_of(stage, text=TEXT, **how):
    sounds = [sound async for sound in stage.speak(Piece(text, **how))]
    assert all(sound.rate == 22_050 and len(sound.pcm) % 2 == 0 for sound in sounds)
    return b"".join(sound.pcm for sound in sounds)


def loudness(pcm):
    return float(np.abs(np.frombuffer(pcm, "<i2").astype(float)).mean())


def children():
    """Processes of ours, dead ones that nobody asked after among them."""
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


async def test_a_piece_is_spoken():
    assert loudness(await pcm_of(EspeakTts({}))) > 100


async def test_pieces_side_by_side_sound_as_they_do_alone():
    stage = EspeakTts({})
    texts = ["One piece of it.", "Another piece, quite different.", "And the last."]
    alone = [await pcm_of(stage, text) for text in texts]
    assert await asyncio.gather(*(pcm_of(stage, text) for text in texts)) == alone


@pytest.mark.parametrize("text", ["", "  ", "🙂", "..."])
async def test_nothing_to_say_yields_nothing(text):
    assert await pcm_of(EspeakTts({}), text) == b""


@pytest.mark.parametrize(
    "text",
    ["שלום לך", "你好世界", "<break time='9s'/> so", "-v nobody", "a\x00b\ud83d", "3 < 4 & so on", "--help"],
)
async def test_whatever_is_written_is_spoken(text):
    assert await pcm_of(EspeakTts({}), text)


async def test_what_stands_in_double_brackets_is_no_phoneme():
    stage = EspeakTts({})
    assert await pcm_of(stage, "[[aI]]") != await pcm_of(stage, "I")
    assert len(await pcm_of(stage, "say [[[h@l'oU]]] now")) > 1.5 * len(await pcm_of(stage, "say hello now"))


async def test_a_very_long_piece_is_spoken_to_its_end():
    sentence = "Word after word " * 14 + "and the last. "
    once = len(await pcm_of(EspeakTts({"speed": 400}), sentence))
    assert len(await pcm_of(EspeakTts({"speed": 400}), sentence * 40)) > 39 * once


async def test_the_language_has_its_voice():
    stage = EspeakTts({})
    assert await pcm_of(stage, language="de-DE") != await pcm_of(stage, language="en-US")
    assert await pcm_of(stage, language="xx") == await pcm_of(stage, language="en")


@pytest.mark.parametrize(
    "voice", ["marin", "ash", "f786b574-daa5-4673-aa0c-cbe3e8534c02", "-w /etc/passwd", "zz"]
)
async def test_a_voice_of_another_service_does_not_silence_it(voice):
    stage = EspeakTts({})
    assert await pcm_of(stage, voice=voice) == await pcm_of(stage)


@pytest.mark.parametrize(
    ("piece", "configured", "tried"),
    [
        (Piece(""), "", [DEFAULT_VOICE]),
        (Piece("", language="de-AT"), "", ["de-at", "de", DEFAULT_VOICE]),
        (Piece("", voice="en-gb+f3", language="fr"), "de", ["en-gb+f3", "de", "fr", DEFAULT_VOICE]),
        (Piece("", voice="Rachel", language="../.."), "", [DEFAULT_VOICE]),
    ],
)
def test_which_voices_are_tried(piece, configured, tried):
    assert voices(piece, configured) == tried


async def test_closing_ends_the_engine_at_once():
    stage = EspeakTts({})
    sounds = stage.speak(Piece(TEXT * 20))
    await anext(sounds)
    began = time.monotonic()
    await sounds.aclose()
    await sounds.aclose()
    assert time.monotonic() - began < 2
    assert not children()


async def test_without_the_engine_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverMissing, match="espeak-ng"):
        await pcm_of(EspeakTts({}))


async def test_an_engine_that_gives_no_sound_is_told(monkeypatch, tmp_path):
    engine = tmp_path / "espeak-ng"
    engine.write_text("#!/bin/sh\nexit 1\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ProviderUnavailable):
        await pcm_of(EspeakTts({}))


@pytest.mark.parametrize("settings", [{"voice": "-x"}, {"speed": 1}, {"voise": "en"}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ConfigurationInvalid):
        EspeakTts(settings)


async def test_it_is_found_by_its_name():
    stage = plugins.load("appliance.tts", "espeak")({})
    await stage.warm()
    await stage.close()
    assert stage.local
