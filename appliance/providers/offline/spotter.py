"""Whether a short utterance is a phrase and nothing else: how likely the phrase makes the sound, against any phones.

The recogniser's acoustic model was made from people's voices, and knows the phrase by its pronunciation: no network has
to be trained for it.
"""

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from appliance.providers.offline.conditioning import Band, conditioned
from appliance.providers.offline.recogniser import (
    FILLERS,
    LOOP,
    NOISE_WEIGHT,
    PHONES,
    SILENCE_WEIGHT,
    cepstral_mean,
    chunks,
    decoder_with,
    dictionary_of,
)

if TYPE_CHECKING:
    from pocketsphinx import Decoder

PHONE_PRICE: Final = 1e-2
"""A phone more of the loop that the phrase is weighed against."""
USUAL_LEAD: Final = -25.0
"""Nepers by which the phrase must be likelier than any phones at sensitivity 0.5: these can follow every sound more
closely than a word can."""
LEAD_RANGE: Final = 40.0
"""So much more at 0, and less at 1."""
TWICE_BYTES: Final = 35_000
"""Shorter sound, 1.1 s with the margins around it, is no phrase said twice."""
NEPERS: Final = 1024.0
"""The library tells a score as e to this part of it."""
OTHER_WAYS: Final = {"stop": ("S T AO P",)}
"""Pronunciations that the model's American dictionary has not."""


class SphinxSpotter:
    """Implements interfaces.PhraseSpotter with pocketsphinx. Loads with `prepare`, or at the first utterance."""

    def __init__(self, phrases: Sequence[str], sensitivity: float = 0.5) -> None:
        self._phrases = tuple(phrases)
        self._lead = lead(sensitivity)
        self._lock = threading.Lock()
        self._decoder: Decoder | None = None

    def prepare(self) -> None:
        """Raise DriverMissing without pocketsphinx."""
        with self._lock:
            self._loaded()

    def said(self, pcm: bytes) -> str | None:
        ready = conditioned(pcm)
        if ready is None:
            return None
        with self._lock:
            decoder = self._loaded()
            decoder.activate_search(_search(LOOP))
            mean = cepstral_mean(decoder, ready.pcm)
            anything = _score(decoder, LOOP, ready.pcm, mean)
            times = (1, 2) if len(ready.pcm) >= TWICE_BYTES else (1,)
            scores = {
                phrase: max(_score(decoder, _times(phrase, number), ready.pcm, mean) for number in times)
                for phrase in self._phrases
            }
        best = max(scores, key=scores.__getitem__)
        return best if scores[best] - anything > self._lead else None

    def _loaded(self) -> "Decoder":
        if self._decoder is None:
            self._decoder = _decoder(self._phrases)
        return self._decoder


def lead(sensitivity: float) -> float:
    """By how many nepers a phrase must be likelier than any phones."""
    return USUAL_LEAD + LEAD_RANGE * (1 - 2 * sensitivity)


def _times(phrase: str, number: int) -> str:
    return " ".join([phrase] * number)


def _decoder(phrases: Sequence[str]) -> "Decoder":
    words = {word for phrase in phrases for word in phrase.split()}
    others = {
        f"{word}({number})": phones
        for word in words & OTHER_WAYS.keys()
        for number, phones in enumerate(OTHER_WAYS[word], start=7)
    }
    lines = "".join(f"{word} {phones}\n" for word, phones in others.items())
    decoder = decoder_with(dictionary_of(words) + lines, Band.WIDE)
    any_phone = [f"{LOOP}{phone}{LOOP}" for phone in PHONES]
    _add(decoder, LOOP, [any_phone], [(1, 1, PHONE_PRICE, phone) for phone in any_phone])
    for phrase in phrases:
        for said in (_times(phrase, 1), _times(phrase, 2)):
            ways = [
                [word, *(other for other in others if other.startswith(f"{word}("))] for word in said.split()
            ]
            _add(decoder, said, ways)
    return decoder


def _add(
    decoder: "Decoder", name: str, ways: Sequence[Sequence[str]], more: Sequence[tuple[Any, ...]] = ()
) -> None:
    """A search for one word after the other, each in one of its `ways`."""
    last = len(ways)
    arcs = [(state, state + 1, 1.0, way) for state, words in enumerate(ways) for way in words]
    quiet = ((FILLERS[0], SILENCE_WEIGHT), (FILLERS[1], NOISE_WEIGHT))
    still = [(state, state, weight, filler) for state in range(last + 1) for filler, weight in quiet]
    name = _search(name)
    decoder.add_fsg(name, decoder.create_fsg(name, 0, last, [*arcs, *more, *still]))


def _search(name: str) -> str:
    return name.replace(" ", "_")


def _score(decoder: "Decoder", search: str, pcm: bytes, mean: str) -> float:
    """Nepers; the likelier, the higher."""
    decoder.set_cmn(mean)
    decoder.activate_search(_search(search))
    decoder.start_utt()
    for chunk in chunks(pcm):
        decoder.process_raw(chunk)
    decoder.end_utt()
    best = decoder.hyp()
    return NEPERS * math.log(best.score) if best is not None and best.score > 0 else -math.inf
