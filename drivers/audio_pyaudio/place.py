"""Where the sound server has our stream, judged by what it lists: no clock and no I/O.

A stream of ours does not stay the same one for the server: PortAudio prepares ALSA's PCM anew after each gap that a
busy machine makes, and at the opening, and ALSA's plug-in then ends its stream at the server and begins another one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

NOWHERE: Final = 0xFFFF_FFFF
"""The server's "no device": the stream is on its way from one to another."""


@dataclass(frozen=True, slots=True)
class Place:
    """`stream` and `device` are the server's indices, for the newest of our streams; given when `verdict` is right."""

    verdict: Literal["right", "moved", "missing", "untold"]
    """At a device that will do; at another one; not in the list; or the server did not answer."""
    stream: int | None = None
    device: int | None = None


def place_of(listed: Mapping[int, int] | None, before: Collection[int], devices: Collection[int]) -> Place:
    """`listed` is PulseWatch.streams; those in `before` belong to an earlier opening; `devices` are those that will do.

    One stream at a wrong device is enough to be moved: while one ends and the next begins, both are listed.
    """
    if listed is None:
        return Place("untold")
    ours = {stream: device for stream, device in listed.items() if stream not in before and device != NOWHERE}
    if not ours:
        return Place("missing")
    if not set(ours.values()) <= set(devices):
        return Place("moved")
    return Place("right", *max(ours.items()))
