"""What a recorded answer says, by a recogniser that knows several answers and must choose.

It has nothing of the appliance's own but its measure of loudness: pocketsphinx with a list of sentences, on what a
telephone passes. Of the 720 times of a day, each spoken by the offline voice, it knew all among those on offer.
"""

import datetime
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pocketsphinx

from appliance.audio.resample import Resampler
from appliance.providers import offline
from appliance.providers.offline.conditioning import conditioned
from tests.rig.sounds import Samples, write_wav
from tests.rig.telephone_sound import from_mu_law, to_mu_law

_TELEPHONE_RATE = 8_000
_QUIET = 150
_UNITS = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty")
_OTHER_MINUTES = (-180, -60, -31, -22, -13, -7, 7, 13, 22, 31, 60, 180)
_MODEL = Path(pocketsphinx.__file__).parent / "model" / "en-us"
_BAND = Path(offline.__file__).with_name("telephone_band.txt")


def recognised(samples: Samples, rate: int, phrases: Sequence[str]) -> str:
    """The one of `phrases` that it is, or nothing. Lower case, words only."""
    ready = conditioned(_through_a_telephone(_between_pauses(samples, rate), rate))
    if ready is None:
        return ""
    decoder = _decoder(frozenset(word for phrase in phrases for word in phrase.split()))
    decoder.add_jsgf_string("phrases", f"#JSGF V1.0;\ngrammar p;\npublic <p> = {' | '.join(phrases)};\n")
    decoder.activate_search("phrases")
    for _ in range(2):  # the first time teaches it the channel
        decoder.start_utt()
        decoder.process_raw(ready.pcm, full_utt=True)
        decoder.end_utt()
    best = decoder.hyp()
    return str(best.hypstr) if best is not None else ""


def _between_pauses(samples: Samples, rate: int) -> Samples:
    """Without the silence around it: a long one teaches the recogniser a channel that is none."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET)
    margin = rate // 10
    return samples[max(0, loud[0] - margin) : loud[-1] + margin] if len(loud) else samples


def assert_tells_the_time(samples: Samples, rate: int, asked_at: float, *, then: str = "") -> None:
    """The time of then is said, to a minute, and after it the words `then`; other times are on offer."""
    asked = datetime.datetime.fromtimestamp(asked_at)  # noqa: DTZ006 - people ask for local time
    right = {said(asked + datetime.timedelta(minutes=by)) for by in (-1, 0, 1)}
    wrong = {said(asked + datetime.timedelta(minutes=by)) for by in _OTHER_MINUTES} - right
    heard = recognised(samples, rate, [f"it's {time} {then}".strip() for time in sorted(right | wrong)])
    if heard.removeprefix("it's ").removesuffix(then).strip() not in right:
        kept = write_wav(Path(tempfile.mkdtemp(prefix="handset-wrong-time-")) / "heard.wav", samples, rate)
        raise AssertionError(f"{heard!r} was heard, not one of {right}; listen to {kept}")


def said(when: datetime.datetime) -> str:
    """The words of a clock time, as the offline voice puts it."""
    hour, half = _UNITS[when.hour % 12 or 12], "a m" if when.hour < 12 else "p m"
    if when.minute == 0:
        return f"{hour} {half}" if when.hour % 12 else ("noon" if when.hour else "midnight")
    return (
        f"{hour} oh {_UNITS[when.minute]} {half}"
        if when.minute < 10
        else f"{hour} {_number(when.minute)} {half}"
    )


def _number(value: int) -> str:
    if value < 20:
        return _UNITS[value]
    tens, unit = divmod(value, 10)
    return f"{_TENS[tens]} {_UNITS[unit]}" if unit else _TENS[tens]


def _through_a_telephone(samples: Samples, rate: int) -> bytes:
    """PCM at 16 kHz with a telephone's band."""
    narrow = samples
    if rate != _TELEPHONE_RATE:
        down = Resampler(rate, _TELEPHONE_RATE)
        pcm = down.process(samples.astype("<i2").tobytes()) + down.flush()
        narrow = from_mu_law(to_mu_law(np.frombuffer(pcm, dtype="<i2")))
    up = Resampler(_TELEPHONE_RATE, 16_000)
    return up.process(narrow.astype("<i2").tobytes()) + up.flush()


@functools.lru_cache(maxsize=4)
def _decoder(words: frozenset[str]) -> Any:
    """With those words only: the whole dictionary takes a second to load."""
    with (_MODEL / "cmudict-en-us.dict").open(encoding="utf-8") as lines:
        known = [line for line in lines if line.split(" ", 1)[0].partition("(")[0] in words]
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        dictionary.write("".join(known))
        dictionary.flush()
        return pocketsphinx.Decoder(
            hmm=str(_MODEL / "en-us"),
            dict=dictionary.name,
            lm=None,
            loglevel="FATAL",
            bestpath=False,
            mllr=str(_BAND),
        )
