"""How words sound that the recogniser's dictionary does not have: names, asked of espeak-ng."""

# ruff: noqa: RUF001 - the international phonetic alphabet looks like other letters

import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import Final

SECONDS: Final = 5.0
_PHONES: Final = {
    "tʃ": "CH",
    "dʒ": "JH",
    "aɪə": "AY ER",
    "aɪ": "AY",
    "aʊ": "AW",
    "eɪ": "EY",
    "ɔɪ": "OY",
    "oʊ": "OW",
    "əʊ": "OW",
    "ɪɹ": "IH R",
    "ɛɹ": "EH R",
    "ʊɹ": "UH R",
    "ɔːɹ": "AO R",
    "ɑːɹ": "AA R",
    "oːɹ": "AO R",
    "iə": "IY AH",
    "iː": "IY",
    "uː": "UW",
    "ɔː": "AO",
    "ɑː": "AA",
    "ɜː": "ER",
    "ɚ": "ER",
    "əl": "AH L",
    "oː": "AO",
    "aː": "AA",
    "i": "IY",
    "ɪ": "IH",
    "e": "EH",
    "ɛ": "EH",
    "æ": "AE",
    "a": "AE",
    "ʌ": "AH",
    "ə": "AH",
    "ɐ": "AH",
    "ᵻ": "IH",
    "ɒ": "AA",
    "ɔ": "AO",
    "ʊ": "UH",
    "u": "UW",
    "o": "OW",
    "p": "P",
    "b": "B",
    "t": "T",
    "d": "D",
    "k": "K",
    "ɡ": "G",
    "g": "G",
    "f": "F",
    "v": "V",
    "θ": "TH",
    "ð": "DH",
    "s": "S",
    "z": "Z",
    "ʃ": "SH",
    "ʒ": "ZH",
    "h": "HH",
    "x": "K",
    "m": "M",
    "n": "N",
    "ŋ": "NG",
    "l": "L",
    "ɫ": "L",
    "ɹ": "R",
    "r": "R",
    "ɾ": "D",
    "w": "W",
    "j": "Y",
    "ʔ": "T",
}
_TOKEN: Final = re.compile("|".join(sorted(map(re.escape, _PHONES), key=len, reverse=True)))


def phones_of(ipa: str) -> str:
    """The recogniser's phones for a word in the international alphabet, as espeak-ng writes it."""
    return " ".join(_PHONES[token] for token in _TOKEN.findall(ipa.replace("ˈ", "").replace("ˌ", "")))


def spellings(words: Iterable[str], known: Iterable[str] = ()) -> dict[str, str]:
    """Phones of each of `words` that is not `known`; none without espeak-ng, which the voice complains of."""
    missing = sorted(set(words) - set(known))
    binary = shutil.which("espeak-ng")
    if not missing or binary is None:
        return {}
    try:
        done = subprocess.run(
            [binary, "-q", "--ipa", "-v", "en-us", "--stdin"],
            input="\n".join(missing), capture_output=True, text=True, timeout=SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = done.stdout.strip().splitlines()
    if len(lines) != len(missing):
        return {}
    found = {word: phones_of(line) for word, line in zip(missing, lines, strict=True)}
    return {word: phones for word, phones in found.items() if phones}
