"""Speech to text: pocketsphinx with the skills' grammar.

Beside the grammar stands a loop over all phones, which follows any speech at all: what fits no sentence
goes there, and is told
apart as speech that nobody can act on. Each step in the loop costs PHONE_PRICE, which makes the grammar
win where both fit.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import DriverMissing
from appliance.providers.offline.automaton import Automaton
from appliance.providers.offline.conditioning import Band, conditioned
from appliance.providers.offline.pronunciation import spellings

if TYPE_CHECKING:
    from pocketsphinx import Decoder

LOOP_PRICE: Final = 1e-6
"""To be in the loop from the first sound on."""
PHONE_PRICE: Final = 1e-6
"""A phone of the loop: higher, and more sentences are refused; lower, and more of what is no sentence is
taken for one."""
ABANDON_PRICE: Final = 1e-12
"""To leave a sentence begun for the loop: without this way out, "cancel my appointment" ends as the likest
sentence on "cancel my"."""
RARE: Final = {"please": 0.03}
"""Words that are said less often than their place in the grammar has it, and are heard in all kinds of endings."""
KEPT_DECODERS: Final = 2
"""One for each band. A decoder takes some 30 MB; two vocabularies in turn would load theirs again and
again, in 0.1 s each."""
MOST_VARIANTS: Final = 9
"""Pronunciations of a word in the model's dictionary: word, word(2) and so on. It has four at most."""
_CHUNK_BYTES: Final = 3_200
"""0.1 s: pocketsphinx keeps the interpreter's lock while it works, and 4 ms of that disturb no audio."""
SILENCE_WEIGHT: Final = 0.05
NOISE_WEIGHT: Final = 1e-4
LOOP: Final = "++"
FILLERS: Final = ("<sil>", "[NOISE]")
PHONES: Final = (
    *(
        "AA",
        "AE",
        "AH",
        "AO",
        "AW",
        "AY",
        "B",
        "CH",
        "D",
        "DH",
        "EH",
        "ER",
        "EY",
        "F",
        "G",
        "HH",
        "IH",
        "IY",
        "JH",
        "K",
    ),
    *("L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
_FEWEST_PHONES: Final = 4
"""Fewer phones than this are a cough or a click, not speech."""
_PHONES_OF_A_SENTENCE: Final = 10
_TELEPHONE_BAND: Final = Path(__file__).with_name("telephone_band.txt")
_EXTRA_WORDS: Final = {"unmute": "AH N M Y UW T"}
Transition = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """`text` is a sentence of the grammar, or empty; then `speech` says whether it was speech at all, and
    `clear` whether plainly so."""

    text: str = ""
    speech: bool = False
    clear: bool = False


NOTHING: Final = Heard()


class Vocabulary:
    """Grammars that share a dictionary, by the question they answer ("" without one). Nothing in it changes."""

    def __init__(self, grammars: Mapping[str, Automaton]) -> None:
        self.grammars = grammars
        used = set().union(*(grammar.words() for grammar in grammars.values()))
        self.dictionary = dictionary_of(used)


class Recogniser:
    """Shared by all connections; methods block and may be called from any thread, one utterance at a time
    goes through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meter: _Meter | None = None
        self._decoders: OrderedDict[tuple[int, Band], _Ear] = OrderedDict()

    def recognise(
        self, vocabulary: Vocabulary, grammar: str, pcm: bytes, cancelled: Callable[[], bool] = lambda: False
    ) -> Heard:
        """What was said in `pcm` (16 kHz). NOTHING once `cancelled()` is true.

        The first speech of a band takes 0.1 s more: its decoder is loaded only then, since most need but one.
        """
        ready = conditioned(pcm)
        if ready is None:
            return NOTHING
        with self._lock:
            if cancelled():
                return NOTHING
            words = self._ear(vocabulary, ready.band).words(grammar, ready.pcm, cancelled)
        return _verdict(words, vocabulary.grammars[grammar])

    def _ear(self, vocabulary: Vocabulary, band: Band) -> "_Ear":
        # One for all: it is another 7 MB of acoustic model, and knows no vocabulary.
        self._meter = self._meter or _Meter()
        key = (id(vocabulary), band)
        ear = self._decoders.pop(key, None) or _Ear(vocabulary, band, self._meter)
        self._decoders[key] = ear
        while len(self._decoders) > KEPT_DECODERS:
            self._decoders.popitem(last=False)
        return ear


class _Meter:
    """Measures the cepstral mean of an utterance, and searches nothing."""

    def __init__(self) -> None:
        self._decoder = decoder_with("a AH\n", Band.WIDE)
        self._decoder.add_fsg("silence", self._decoder.create_fsg("silence", 0, 1, [(0, 1, 1.0, "<sil>")]))
        self._decoder.activate_search("silence")

    def mean(self, pcm: bytes) -> str:
        return cepstral_mean(self._decoder, pcm)


class _Ear:
    """The decoder of a vocabulary in one band."""

    def __init__(self, vocabulary: Vocabulary, band: Band, meter: _Meter) -> None:
        # Kept so that the key by identity stays good as long as this lives.
        self._vocabulary = vocabulary
        self._meter = meter
        self._decoder = decoder_with(vocabulary.dictionary, band)
        for name, grammar in vocabulary.grammars.items():
            _add_grammar(self._decoder, _search(name), grammar)

    def words(self, grammar: str, pcm: bytes, cancelled: Callable[[], bool]) -> Sequence[str]:
        decoder = self._decoder
        # With the running one, the first words of a conversation would be lost.
        decoder.set_cmn(self._meter.mean(pcm))
        decoder.activate_search(_search(grammar))
        decoder.start_utt()
        for chunk in chunks(pcm):
            if cancelled():
                break
            decoder.process_raw(chunk)
        decoder.end_utt()
        best = decoder.hyp()
        return [] if best is None or cancelled() else str(best.hypstr).split()


def cepstral_mean(decoder: "Decoder", pcm: bytes) -> str:
    """Of the whole utterance, without a search, though one has to be active: the running mean would need seconds to
    settle."""
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=True, full_utt=True)
    decoder.end_utt()
    return str(decoder.get_cmn(False))


def _search(grammar: str) -> str:
    return grammar or "commands"


def chunks(pcm: bytes) -> Iterator[bytes]:
    return (pcm[at : at + _CHUNK_BYTES] for at in range(0, len(pcm), _CHUNK_BYTES))


def _verdict(words: Sequence[str], grammar: Automaton) -> Heard:
    spoken = [word.partition("(")[0] for word in words if word not in FILLERS]
    loop = [word for word in spoken if word.startswith(LOOP)]
    if not loop and grammar.accepts(" ".join(spoken)) and spoken:
        return Heard(" ".join(spoken), speech=True, clear=True)
    broken_off = len(spoken) > len(loop)
    return Heard(
        "", speech=broken_off or len(loop) >= _FEWEST_PHONES, clear=len(loop) >= _PHONES_OF_A_SENTENCE
    )


def _add_grammar(decoder: "Decoder", name: str, grammar: Automaton) -> None:
    end = len(grammar.arcs)
    loop = end + 1
    gate = end + 2
    transitions: list[Transition] = [(state, end, 1.0) for state in grammar.accepting]
    for state, arcs in enumerate(grammar.arcs):
        transitions += [
            (state, target, RARE.get(word, 1.0) / len(arcs), word) for word, target in arcs.items()
        ]
    for phone in PHONES:
        transitions.append((gate, loop, 1.0, f"{LOOP}{phone}{LOOP}"))
        transitions.append((loop, loop, PHONE_PRICE, f"{LOOP}{phone}{LOOP}"))
    transitions.append((0, gate, LOOP_PRICE))
    # By way of a moment's silence: led there directly, every last phone would be kept once for each phone of the loop,
    # which takes 28 MB a decoder.
    transitions += [(state, gate, ABANDON_PRICE, "<sil>") for state in range(1, end)]
    transitions.append((loop, end, 1.0))
    for state in range(loop + 1):
        transitions += [(state, state, SILENCE_WEIGHT, "<sil>"), (state, state, NOISE_WEIGHT, "[NOISE]")]
    decoder.add_fsg(name, decoder.create_fsg(name, 0, end, transitions))


def decoder_with(dictionary: str, band: Band) -> "Decoder":
    pocketsphinx = _library()
    fillers = "<s> SIL\n</s> SIL\n<sil> SIL\n[NOISE] +NSN+\n"
    fillers += "".join(f"{LOOP}{phone}{LOOP} {phone}\n" for phone in PHONES)
    model = str(Path(pocketsphinx.__file__).parent / "model" / "en-us" / "en-us")
    adapted = {"mllr": str(_TELEPHONE_BAND)} if band is Band.TELEPHONE else {}
    with _file(dictionary) as words, _file(fillers) as others:
        return pocketsphinx.Decoder(
            hmm=model, dict=words.name, fdict=others.name, lm=None, loglevel="FATAL",
            bestpath=False, fsgusefiller=False, **adapted,
        )  # fmt: skip


def _file(text: str) -> Any:
    file = NamedTemporaryFile("w", suffix=".dict", encoding="utf-8")  # noqa: SIM115
    file.write(text)
    file.flush()
    return file


def dictionary_of(words: Collection[str]) -> str:
    """The pronunciations of `words`: the model's, else ours, else espeak-ng's."""
    model = Path(_library().__file__).parent / "model" / "en-us" / "cmudict-en-us.dict"
    # 135 000 lines: as little as can be is done with each.
    names = {*words, *(f"{word}({variant})" for word in words for variant in range(2, MOST_VARIANTS + 1))}
    with model.open(encoding="utf-8") as lines:
        entries = [line for line in lines if line[: line.find(" ")] in names]
    known = {entry.partition(" ")[0].partition("(")[0] for entry in entries}
    others = _EXTRA_WORDS | spellings(words, known | {*_EXTRA_WORDS})
    return "".join(entries) + "".join(
        f"{word} {phones}\n" for word, phones in others.items() if word in words
    )


def _library() -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise DriverMissing(
            "speech recognition needs pocketsphinx", hint="pip install pocketsphinx"
        ) from error
    return pocketsphinx
