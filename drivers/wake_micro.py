"""Wake words by microWakeWord's networks (pymicro-wakeword): some are in the wheel, others are files of your own."""

import json
from pathlib import Path
from typing import Final

from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

from appliance.errors import DeviceUnavailable, UnknownName

USUAL: Final = 0.5
"""The sensitivity at which a model's own threshold holds."""
LOWER_BY: Final = 0.35
"""At the highest sensitivity."""
DEAF_FRAMES: Final = 75
"""1.5 s: a word that was heard goes on being likely for a moment."""


class MicroWakeDetector:
    """Implements interfaces.WakeDetector.

    A word is the name of a model in the wheel (`words`), or the path of a model's JSON file, its .tflite beside it.
    Raise UnknownName for a word that there is not, DeviceUnavailable for a model that cannot be loaded.
    """

    def __init__(self, words: tuple[str, ...], sensitivity: float = USUAL) -> None:
        self._features = MicroWakeWordFeatures()
        self._models = {Path(word).stem: _model(word) for word in words}
        self._cutoffs = {
            word: threshold(model.probability_cutoff, sensitivity) for word, model in self._models.items()
        }
        self._deaf = 0

    @staticmethod
    def words() -> list[str]:
        """Names of the models in the wheel."""
        return sorted(model.value for model in Model)

    def heard(self, pcm: bytes) -> str | None:
        found = None
        for features in self._features.process_streaming(pcm):
            for word, model in self._models.items():
                likely = model.process_streaming_prob(features)
                if likely is not None and likely > self._cutoffs[word]:
                    found = found or word
        self._deaf = max(0, self._deaf - 1)
        if found is None or self._deaf:
            return None
        self._deaf = DEAF_FRAMES
        return found

    def close(self) -> None:
        """Release the networks."""
        for model in self._models.values():
            model.close()
        self._models.clear()


def threshold(own: float, sensitivity: float) -> float:
    """What a model's mean likelihood has to exceed: its own threshold at 0.5, nearly 1 at 0, lower by 0.35 at 1."""
    if sensitivity <= USUAL:
        return own + (0.995 - own) * (USUAL - sensitivity) / USUAL
    return own - LOWER_BY * (sensitivity - USUAL) / (1 - USUAL)


def _model(word: str) -> MicroWakeWord:
    try:
        if word.endswith(".json"):
            _look_for_network(Path(word))
            return MicroWakeWord.from_config(word)
        return MicroWakeWord.from_builtin(Model(word))
    except ValueError as error:
        known = ", ".join(MicroWakeDetector.words())
        raise UnknownName(
            f"there is no wake word {word!r}", hint=f"there are: {known}; or the path of a model's .json file"
        ) from error
    except (OSError, KeyError, TypeError) as error:
        raise DeviceUnavailable(
            f"the wake word's model {word} cannot be loaded: {type(error).__name__}",
            hint="it takes the .json file of a microWakeWord model, and the .tflite that it names beside it",
        ) from error


def _look_for_network(settings: Path) -> None:
    """Raise FileNotFoundError without it: the library would end the process."""
    network = settings.parent / json.loads(settings.read_text(encoding="utf-8"))["model"]
    if not network.is_file():
        raise FileNotFoundError(network)
