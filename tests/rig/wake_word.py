"""A wake word that a test says."""


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
