"""Piper as a stage: a program, which may not be there, and whose voice takes a while to load."""

import asyncio
import time

import pytest

from appliance import plugins
from appliance.errors import ConfigurationInvalid, DriverMissing, ProviderUnavailable, SetupRejected
from appliance.providers.tts.piper import PiperTts
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece
from tests.fakes.piper import RATE, install, sound_of

TEXT = "Hello there, this is your handset speaking."


@pytest.fixture
def piper(tmp_path):
    return install(tmp_path)


@pytest.fixture
async def build(piper):
    built = []

    def make(terms=Terms(patience=30.0, keep=60.0), **settings):  # noqa: B008 - it never changes
        stage = PiperTts({"command": piper.command, "model": piper.model, **settings}, terms=terms)
        built.append(stage)
        return stage

    yield make
    for stage in built:
        await stage.close()
        await stage.close()
    assert piper.alive() == []


async def pcm_of(stage, text=TEXT, **how):
    sounds = [sound async for sound in stage.speak(Piece(text, **how))]
    assert all(sound.rate == RATE and len(sound.pcm) % 2 == 0 for sound in sounds)
    return b"".join(sound.pcm for sound in sounds)


async def until(holds):
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def test_a_piece_is_spoken_whole(build):
    assert await pcm_of(build(), rate=8_000) == sound_of(TEXT)


async def test_pieces_side_by_side_do_not_mix(build):
    stage = build()
    texts = ["One.", "And two.", "Then three."]
    assert await asyncio.gather(*(pcm_of(stage, text) for text in texts)) == [
        sound_of(text) for text in texts
    ]


async def test_the_next_voice_is_loaded_while_nobody_speaks(piper, build):
    stage = build()
    await stage.warm()
    await stage.warm()
    await until(lambda: piper.loaded == 1)
    await pcm_of(stage)
    await until(lambda: piper.loaded == 2)
    assert len(piper.runs) == 1


async def test_a_voice_that_waits_for_long_is_given_back(piper, build):
    stage = build(Terms(patience=30.0, keep=0.05))
    await pcm_of(stage)
    await until(lambda: not piper.alive())
    assert await pcm_of(stage) == sound_of(TEXT)


async def test_a_voice_that_died_waiting_costs_nothing(piper, build):
    stage = build()
    await stage.warm()
    await until(lambda: piper.loaded == 1)
    stage._spare.result().kill()  # noqa: SLF001
    await stage._spare.result().wait()  # noqa: SLF001
    assert await pcm_of(stage) == sound_of(TEXT)


@pytest.mark.parametrize("text", ["", "  ", "🙂", "..."])
async def test_nothing_to_say_yields_nothing(piper, build, text):
    assert await pcm_of(build(), text) == b""
    assert piper.runs == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo\r\nthree", "one two three"),
        ("--output_file /tmp/x", "--output_file /tmp/x"),
        ("<break/> שלום 你好", "<break/> שלום 你好"),
        ("[[h@l'oU]]", "[ [h@l'oU]]"),
        ("a\x00b\ud83d", "a b?"),
        ("Word. " * 2_000, ("Word. " * 2_000).strip()),
    ],
)
async def test_whatever_is_written_is_one_line(piper, build, text, line):
    assert await pcm_of(build(), text) == sound_of(line)
    assert piper.runs[-1]["lines"] == [line]


async def test_speaker_and_speed_are_told(piper, build):
    await pcm_of(build(speaker=3, speed=2.0))
    assert (piper.runs[-1]["speaker"], piper.runs[-1]["length"]) == (3, 0.5)


async def test_closing_ends_the_process_at_once(piper, build):
    stage = build()
    sounds = stage.speak(Piece(TEXT * 40))
    await anext(sounds)
    began = time.monotonic()
    await sounds.aclose()
    await sounds.aclose()
    assert time.monotonic() - began < 2
    assert piper.alive() == []
    assert await pcm_of(stage) == sound_of(TEXT)


async def test_it_can_be_cancelled_at_any_moment(piper, build):
    stage = build()
    for delay in (0, 1, 5, 20, 50, 100):
        task = asyncio.create_task(pcm_of(stage, TEXT * 40))
        await asyncio.sleep(delay / 1000)
        task.cancel()
        await asyncio.wait({task})
    assert await pcm_of(stage) == sound_of(TEXT)


@pytest.mark.parametrize("what", ["crash", "break off", "say nothing"])
async def test_a_process_that_fails_costs_one_piece(piper, build, what):
    stage = build()
    piper.will(what)
    with pytest.raises(ProviderUnavailable):
        await pcm_of(stage)
    piper.will("")
    assert await pcm_of(stage) == sound_of(TEXT)


async def test_a_process_that_hangs_is_given_up(piper, build):
    stage = build(Terms(patience=0.3, keep=60.0))
    piper.will("hang")
    with pytest.raises(ProviderUnavailable, match="silent"):
        await pcm_of(stage)
    assert piper.alive() == []


async def test_without_the_program_it_says_how_to_have_it(piper):
    stage = PiperTts({"command": "no-such-piper", "model": piper.model})
    with pytest.raises(DriverMissing) as told:
        await pcm_of(stage)
    assert "pipx" in told.value.hint


async def test_without_a_voice_it_says_where_to_name_it(piper):
    for model in ("", "/nowhere/voice.onnx"):
        with pytest.raises(SetupRejected) as told:
            await pcm_of(PiperTts({"command": piper.command, "model": model}))
        assert "[providers.piper]" in told.value.hint


@pytest.mark.parametrize(
    "described", ["", "{}", '{"audio": {"sample_rate": "x"}}', '{"audio": {"sample_rate": 1}}']
)
async def test_a_voice_that_is_not_described_is_refused(piper, build, tmp_path, described):
    (tmp_path / "voice.onnx.json").write_text(described)
    with pytest.raises(SetupRejected):
        await build().warm()


@pytest.mark.parametrize("settings", [{"speed": 9}, {"voise": "x"}, {"speaker": -1}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ConfigurationInvalid):
        PiperTts(settings)


def test_it_is_found_by_its_name():
    assert plugins.load("appliance.tts", "piper")({}).local
