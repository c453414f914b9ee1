"""The device's own voice as a stage of the chain: espeak-ng, which needs no network and is always there."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, ClassVar, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from appliance import plugins
from appliance.config.services import read
from appliance.errors import DeviceUnavailable, ProviderUnavailable
from appliance.interfaces import Spoken
from appliance.providers.tts.plain import plain, portions, says_nothing
from appliance.stages import Piece, Sound

DEFAULT_VOICE: Final = "en-us"
LONGEST_TEXT: Final = 4_000
"""Characters that the voice is given at once; it speaks them sentence by sentence."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_VOICE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9-]{1,16})?(\+[A-Za-z0-9_]{1,16})?")
"""How the engine's own voices are called. Names of other services' voices have other forms, nearly all of them."""


class EspeakSettings(BaseModel):
    """`[providers.espeak]`: an espeak-ng voice, words a minute, pitch 0-99. Without a voice, the language has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voice: str = Field(default="", pattern=rf"^({_VOICE.pattern})?$")
    speed: int = Field(default=160, ge=80, le=400)
    pitch: int = Field(default=45, ge=0, le=99)


class EspeakTts:
    """Implements stages.TextToSpeech with the voice of that name: group `appliance.voices`."""

    name = "espeak"
    settings_model: ClassVar[type[BaseModel]] = EspeakSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset(EspeakSettings.model_fields)
    local: ClassVar[bool] = True
    parallel = 2
    timed = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings: EspeakSettings = read(EspeakSettings, "providers.espeak", settings)

    async def warm(self) -> None:
        plugins.load("appliance.voices", self.name)

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        if says_nothing(piece.text):
            return
        for text in portions(plain(piece.text), LONGEST_TEXT):
            async with aclosing(self._spoken(text, voices(piece, self._settings.voice))) as sounds:
                async for sound in sounds:
                    yield sound

    async def close(self) -> None:
        """There is nothing to close: a process lives as long as its sentence."""

    async def _spoken(self, text: str, names: list[str]) -> AsyncGenerator[Sound, None]:
        """With the first of these voices that is installed."""
        for name in names:
            began = False
            try:
                async with aclosing(self._voice(name).speak(text)) as pieces:
                    async for piece in pieces:
                        began = True
                        yield Sound(piece.pcm, piece.rate)
                return
            except DeviceUnavailable as fault:
                if began or name == names[-1]:
                    raise ProviderUnavailable(fault.message, hint=fault.hint) from fault

    def _voice(self, name: str) -> "_Voice":
        how = {"voice": name, "speed": self._settings.speed, "pitch": self._settings.pitch}
        voice: _Voice = plugins.load("appliance.voices", self.name)(how)
        return voice


class _Voice(Protocol):
    """An interfaces.Voice whose iterator can be closed."""

    def speak(self, text: str) -> AsyncGenerator[Spoken, None]: ...


def voices(piece: Piece, configured: str) -> list[str]:
    """The voices to try: what is wished, then the language's own, then the one that is always there. Pure."""
    language = piece.language.replace("_", "-").lower()
    own = [language, language.partition("-")[0]] if _LANGUAGE.fullmatch(language) and language != "en" else []
    wished = [piece.voice] if _VOICE.fullmatch(piece.voice) else []
    return list(dict.fromkeys([*wished, *([configured] if configured else []), *own, DEFAULT_VOICE]))
