"""A wake word that a test says."""

from appliance.audio.capture import Captured


class Word:
    """Heard when somebody said it."""

    def __init__(self, word: str) -> None:
        self._word = word
        self.said = False

    def heard(self, pcm: bytes) -> str | None:
        said, self.said = self.said, False
        return self._word if said else None

    def close(self) -> None:
        return


class SaidStop:
    """A stop ear: hears "stop" when somebody said it."""

    def __init__(self) -> None:
        self.said = False

    def heard(self, captured: Captured, *, busy: bool) -> str | None:
        said, self.said = self.said, False
        return "stop" if said else None

    def close(self) -> None:
        return
