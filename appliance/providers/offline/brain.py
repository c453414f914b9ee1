"""All that understands: the grammar, the recogniser and the parser of one set of tools. Imported with the
first session only."""

from collections.abc import Callable, Sequence

from appliance.providers.offline.grammar import speech_grammar
from appliance.providers.offline.parser import Parser
from appliance.providers.offline.recogniser import Heard, Recogniser, Vocabulary
from appliance.providers.offline.skills import Intent, Understood, load_skills


class SkilledBrain:
    """Implements connection.Brain. Read-only; its methods block and belong to the provider's worker thread."""

    def __init__(self, recogniser: Recogniser, functions: Sequence[str], contacts: Sequence[str]) -> None:
        skills = load_skills()
        self.offered: Sequence[Intent] = skills.offered(functions)
        self._parser = Parser(skills, functions, contacts)
        self._recogniser = recogniser
        replies = {intent.reply_to for intent in self.offered}
        grammars = {
            reply: speech_grammar(skills, [one for one in self.offered if one.reply_to == reply], contacts)
            for reply in sorted(replies)
        }
        self._vocabulary = Vocabulary(grammars)

    def hear(self, pcm: bytes, reply_to: str, cancelled: Callable[[], bool]) -> Heard:
        """What was said; to a question, its replies are tried first, then everything else."""
        if reply_to:
            reply = self._recogniser.recognise(self._vocabulary, reply_to, pcm, cancelled)
            if reply.text or not reply.speech:
                return reply
        return self._recogniser.recognise(self._vocabulary, "", pcm, cancelled)

    def parse(self, text: str, reply_to: str) -> Understood | None:
        return self._parser.parse(text, reply_to=reply_to)


class Brains:
    """Makes brains that share one recogniser."""

    def __init__(self) -> None:
        self._recogniser = Recogniser()

    def build(self, functions: Sequence[str], contacts: Sequence[str]) -> SkilledBrain:
        return SkilledBrain(self._recogniser, functions, contacts)
