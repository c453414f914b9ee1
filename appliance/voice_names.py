"""Whose voice a name is: an agent's voice belongs to one service, and a ladder has several. Pure.

Sources: the services' voice lists of autumn 2026; Cartesia and ElevenLabs number theirs.
"""

import re
from typing import Final, TypedDict

_OPENAI: Final = (
    "alloy ash ballad beacon bossa cedar cinder coral delta echo fable gleam marin meridian nova onyx quartz ripple "
    "sage shida shimmer stone tempo verse vesper willow"
)
_GEMINI: Final = (
    "Achernar Achird Algenib Algieba Alnilam Aoede Autonoe Callirrhoe Charon Despina Enceladus Erinome Fenrir Gacrux "
    "Iapetus Kore Laomedeia Leda Orus Puck Pulcherrima Rasalgethi Sadachbia Sadaltager Schedar Sulafat Umbriel "
    "Vindemiatrix Zephyr Zubenelgenubi"
)
_FORMS: Final = {
    "openai": re.compile("voice_.+|" + _OPENAI.replace(" ", "|")),
    "gemini": re.compile(_GEMINI.replace(" ", "|")),
    "cartesia": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "elevenlabs": re.compile(r"(?=.*[0-9A-Z])[0-9A-Za-z]{20}"),
}
_NUMBERED: Final = frozenset({"cartesia", "elevenlabs"})


class VoiceId(TypedDict):
    """A voice that was made for the account."""

    id: str


def wished(voice: str, service: str) -> str:
    """`voice`, or nothing where it is another service's, which this one would refuse."""
    owners = {name for name, form in _FORMS.items() if form.fullmatch(voice)}
    return voice if service in owners or not (owners or service in _NUMBERED) else ""


def openai_voice(name: str) -> str | VoiceId:
    """`name` as OpenAI takes it: a voice of one's own is an object with its id."""
    return VoiceId(id=name) if name.startswith("voice_") else name
