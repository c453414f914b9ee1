"""Whisper as a stage of the chain: with a stand-in for its library everywhere, with a real model where there is one."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from appliance.errors import ConfigurationInvalid, DriverMissing, ProviderUnavailable, SetupRejected
from appliance.providers.stt.whisper import NEEDED, WhisperTranscription
from appliance.stages import Hearing, SpeechToText
from tests.contract.stt.contract import SttContract
from tests.contract.stt.listener import Listener
from tests.rig.coded_speech import coded
from tests.rig.spoken import cough, speech

MODULES = Path(__file__).parents[2] / "fakes" / "modules"
REAL_MODEL = os.environ.get("HANDSET_TEST_WHISPER_MODEL", "")
"""The directory of a model with which the real library is tried."""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The stand-in, in the place of the library."""
    monkeypatch.syspath_prepend(MODULES)
    monkeypatch.delitem(sys.modules, "faster_whisper", raising=False)
    yield importlib.import_module("faster_whisper")
    monkeypatch.delitem(sys.modules, "faster_whisper", raising=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with what belongs to a model."""
    for name in NEEDED:
        (tmp_path / name).write_text("{}")
    return tmp_path


class TestWhisper(SttContract):
    name = "whisper"

    @pytest.fixture
    async def cloud(self, library: ModuleType, model: Path) -> Any:
        del library
        self.directory = model
        return

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return {"model_directory": str(self.directory)}

    async def test_the_library_is_told_language_and_names(
        self, stage: SpeechToText, library: ModuleType
    ) -> None:
        async with self.listening(stage, language="de-AT", keywords=("Gugelhupf", "Zwetschke")) as listener:
            await self.asks(listener, 1, "one")
        (asked,) = library.instances[-1].asked
        assert (asked["language"], asked["hotwords"]) == ("de", "Gugelhupf, Zwetschke")

    async def test_all_conversations_share_one_model_and_one_thread(
        self, stage: SpeechToText, library: ModuleType
    ) -> None:
        before = len(library.instances)
        async with self.listening(stage) as one, self.listening(stage) as other:
            await asyncio.gather(self.asks(one, 1, "one"), self.asks(other, 1, "two"))
        assert len(library.instances) == before + 1
        assert len(library.instances[-1].threads) == 1

    @pytest.mark.parametrize("told", ["[BLANK_AUDIO]", "(music)", "♪ ♪", "*cough*", "[ Silence ]."])
    async def test_sounds_are_no_words(self, stage: SpeechToText, library: ModuleType, told: str) -> None:
        async with self.listening(stage) as listener:
            library.instances[-1].says = told.replace(" ", "")
            assert await self.asks(listener, 1, "one") == ""
            assert listener.finals(1) == [""]

    async def test_a_language_that_the_model_does_not_know_ends_the_connection(
        self, stage: SpeechToText
    ) -> None:
        listener = Listener(await stage.connect(Hearing(language="xx")), stage.rate)
        await listener.says(1, coded("one"))
        await listener.transcription.commit(1)
        assert isinstance(await listener.lost(), ProviderUnavailable)
        await listener.close()

    async def test_a_device_that_is_too_slow_says_so_and_recovers(
        self, library: ModuleType, model: Path
    ) -> None:
        stage = WhisperTranscription({"model_directory": str(model), "deadline": 1.0})
        listener = Listener(await stage.connect(Hearing()), stage.rate)
        library.instances[-1].takes = 1.5
        await listener.says(1, coded("one"))
        await listener.transcription.commit(1)
        assert isinstance(await listener.lost(), ProviderUnavailable)
        await listener.close()
        library.instances[-1].takes = 0.0
        await asyncio.sleep(0.6)
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "one two") == "one two"
        await stage.close()

    async def test_turns_that_are_given_up_do_not_pile_up(self, library: ModuleType, model: Path) -> None:
        stage = WhisperTranscription({"model_directory": str(model)})
        await stage.warm()
        library.instances[-1].takes = 0.5
        listeners = [Listener(await stage.connect(Hearing()), stage.rate) for _ in range(6)]
        for listener in listeners:
            await listener.says(1, coded("one"))
            await listener.transcription.commit(1)
        faults = [await listener.lost() for listener in listeners[4:]]
        assert all(isinstance(fault, ProviderUnavailable) for fault in faults)
        for listener in listeners:
            await listener.close()
        await stage.close()


@pytest.mark.parametrize("missing", NEEDED)
async def test_a_directory_without_a_whole_model_is_refused(model: Path, missing: str) -> None:
    (model / missing).unlink()
    stage = WhisperTranscription({"model_directory": str(model)})
    with pytest.raises(SetupRejected, match=missing):
        await stage.connect(Hearing())
    await stage.close()


async def test_without_a_directory_it_says_which_key_is_missing() -> None:
    stage = WhisperTranscription({})
    with pytest.raises(SetupRejected, match="model_directory"):
        await stage.warm()
    await stage.close()


async def test_a_damaged_model_is_a_matter_of_the_configuration(library: ModuleType, model: Path) -> None:
    (model / "model.bin").write_bytes(b"")
    stage = WhisperTranscription({"model_directory": str(model)})
    with pytest.raises(SetupRejected, match="cannot be loaded"):
        await stage.warm()
    (model / "model.bin").write_bytes(b"x")
    await stage.warm()
    await stage.close()


async def test_without_the_library_it_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    stage = WhisperTranscription({"model_directory": str(model)})
    with pytest.raises(DriverMissing) as caught:
        await stage.warm()
    assert "pip install -e '.[whisper]'" in caught.value.hint
    await stage.close()


def test_a_setting_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="compute_type"):
        WhisperTranscription({"compute_type": "float99"})


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL_MODEL or importlib.util.find_spec("faster_whisper") is None,
    reason="needs faster-whisper, and HANDSET_TEST_WHISPER_MODEL",
)
async def test_a_real_model_writes_down_a_real_voice() -> None:
    stage = WhisperTranscription({"model_directory": REAL_MODEL, "deadline": 60})
    listener = Listener(await stage.connect(Hearing()), stage.rate)
    for turn, text in enumerate(
        ("what time is it", "please call my mother and tell her that I will be late"), 1
    ):
        await listener.says(turn, speech(text, lead=0.3, tail=0.3).tobytes())
        await listener.transcription.commit(turn)
        assert await listener.final(turn) == text.lower()
    await listener.says(3, cough(0.3).tobytes())
    await listener.transcription.commit(3)
    assert await listener.final(3) == ""
    await listener.close()
    await stage.close()
