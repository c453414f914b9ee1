"""The device's own voice."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from appliance.errors import DeviceUnavailable, DriverMissing
from appliance.interfaces import Spoken
from appliance.providers.offline import voice as module
from appliance.providers.offline.voice import RATE, EspeakVoice


async def spoken(voice: EspeakVoice, text: str) -> list[Spoken]:
    return [piece async for piece in voice.speak(text)]


def engines() -> set[int]:
    """Children of this process that are espeak-ng."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue
            name, rest = status.rsplit(")", 1)
            if "espeak-ng" in name and int(rest.split()[1]) == os.getpid() and rest.split()[0] != "Z":
                found.add(int(entry.name))
    return found


async def test_each_sentence_is_named_once_and_has_sound() -> None:
    pieces = await spoken(EspeakVoice(), "It is ten. Good night.")
    assert [piece.text for piece in pieces if piece.text] == ["It is ten.", "Good night."]
    assert sum(len(piece.pcm) for piece in pieces) > RATE * 2
    assert {piece.rate for piece in pieces} == {RATE}


@pytest.mark.parametrize("text", ["", "...", "😀"])
async def test_nothing_to_say_has_no_sound(text: str) -> None:
    assert await spoken(EspeakVoice(), text) == []


@pytest.mark.parametrize(
    "text", ["--version", "-f /etc/passwd", "<break time='9999s'/>hello", "[[h@l'oU]] hello"]
)
async def test_a_text_is_never_an_option_nor_markup(text: str) -> None:
    pieces = await spoken(EspeakVoice(), text)
    assert 0 < sum(len(piece.pcm) for piece in pieces) < RATE * 2 * 10


async def test_closing_kills_the_engine_at_once() -> None:
    async with aclosing(
        EspeakVoice().speak("one two three four five six seven eight nine ten, " * 20)
    ) as pieces:
        await anext(pieces)
    assert engines() == set()


async def test_without_the_engine_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DriverMissing) as missing:
        await spoken(EspeakVoice(), "hello")
    assert missing.value.hint == "apt-get install espeak-ng"


async def test_an_engine_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tmp_path / "espeak-ng"
    engine.write_text("#!/bin/sh\nexec sleep 60\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)
    async with asyncio.timeout(3):
        with pytest.raises(DeviceUnavailable):
            await spoken(EspeakVoice(), "hello")


async def test_a_voice_name_that_is_none_is_not_handed_on() -> None:
    assert await spoken(EspeakVoice({"voice": "-f/etc/passwd"}), "hello")
