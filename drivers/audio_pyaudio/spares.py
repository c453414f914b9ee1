"""ALSA's plug-ins that nobody talks through: kept from PortAudio's enumeration, which would load and keep every one.

PortAudio opens each PCM of ALSA's configuration to see what it can do. Debian's libasound2-plugins defines ten that
are no devices but converters and bridges; their libraries, a video codec's among them, would stay with the process:
14 MB of an idle appliance.
"""

import ctypes
import re
from collections.abc import Collection
from typing import Any, Final

SPARE: Final = frozenset(
    {"a52", "jack", "lavrate", "oss", "samplerate", "speex", "speexrate", "upmix", "usbstream", "vdownmix"}
)
_REFERRING: Final = (b"pcm", b"defaults")


def leave_out(asked: Collection[str]) -> None:
    """Take the spare PCMs out of this process's copy of ALSA's configuration, until PortAudio is terminated.

    To be called before each initialisation. Those in `asked` stay; all stay where another PCM, say a `default` of the
    owner's, is made of one of them, and where the library is not as expected.
    """
    if (alsa := _library()) is None or alsa.snd_config_update() < 0:
        return
    out = SPARE - set(asked)
    for name in out:
        if (node := _search(alsa, b"pcm." + name.encode())) is not None:
            alsa.snd_config_delete(node)
    words = set(re.findall(r"\w+", "".join(_text(alsa, part) for part in _REFERRING)))
    if words & out:
        # The next to ask for the configuration reads it anew, whole.
        alsa.snd_config_update_free_global()


def _library() -> ctypes.CDLL | None:
    """The same copy of the library that PortAudio is linked with."""
    try:
        alsa = ctypes.CDLL("libasound.so.2")
        pointer = ctypes.c_void_p
        alsa.snd_config_search.argtypes = [pointer, ctypes.c_char_p, ctypes.POINTER(pointer)]
        alsa.snd_config_delete.argtypes = [pointer]
        alsa.snd_config_save.argtypes = [pointer, pointer]
        alsa.snd_output_buffer_open.argtypes = [ctypes.POINTER(pointer)]
        alsa.snd_output_buffer_string.argtypes = [pointer, ctypes.POINTER(pointer)]
        alsa.snd_output_buffer_string.restype = ctypes.c_size_t
        alsa.snd_output_close.argtypes = [pointer]
    except (OSError, AttributeError):
        return None
    return alsa


def _search(alsa: Any, key: bytes) -> ctypes.c_void_p | None:
    node = ctypes.c_void_p()
    found = alsa.snd_config_search(ctypes.c_void_p.in_dll(alsa, "snd_config"), key, ctypes.byref(node))
    return node if found == 0 else None


def _text(alsa: Any, key: bytes) -> str:
    """That part of the configuration as it would stand in a file."""
    if (node := _search(alsa, key)) is None:
        return ""
    output, start = ctypes.c_void_p(), ctypes.c_void_p()
    if alsa.snd_output_buffer_open(ctypes.byref(output)) < 0:
        return ""
    try:
        alsa.snd_config_save(node, output)
        size = alsa.snd_output_buffer_string(output, ctypes.byref(start))
        return ctypes.string_at(start, size).decode(errors="replace")
    finally:
        alsa.snd_output_close(output)
