"""Word automata: from the many ways of a grammar to the fewest states that accept the same sentences.

pocketsphinx would expand JSGF rule by rule, copying each rule at each use: 17 000 states and seconds a
sentence for the skills as
they are. The least deterministic automaton has some hundreds, and is searched in real time on the smallest device.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Automaton:
    """Deterministic and minimal: `arcs` of each state by word; state 0 is the start."""

    arcs: tuple[Mapping[str, int], ...]
    accepting: frozenset[int]

    def accepts(self, sentence: str) -> bool:
        state = 0
        for word in sentence.split():
            following = self.arcs[state].get(word)
            if following is None:
                return False
            state = following
        return state in self.accepting

    def words(self) -> set[str]:
        return {word for arcs in self.arcs for word in arcs}


class Draft:
    """A non-deterministic automaton under construction: states are numbers, arcs carry a word or nothing."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 1
        self._words: list[list[tuple[str, int]]] = [[], []]
        self._free: list[list[int]] = [[], []]

    def state(self) -> int:
        self._words.append([])
        self._free.append([])
        return len(self._words) - 1

    def word(self, source: int, word: str, target: int) -> None:
        self._words[source].append((word, target))

    def free(self, source: int, target: int) -> None:
        """Let `target` follow `source` without a word."""
        self._free[source].append(target)

    def minimal(self) -> Automaton:
        """The least deterministic automaton of the same sentences."""
        arcs, accepting = self._deterministic()
        return _merge_equal(arcs, accepting)

    def _deterministic(self) -> tuple[list[dict[str, int]], set[int]]:
        first = self._closure([self.start])
        numbers = {first: 0}
        waiting = [first]
        arcs: list[dict[str, int]] = []
        accepting: set[int] = set()
        for states in waiting:
            if self.end in states:
                accepting.add(len(arcs))
            following: defaultdict[str, list[int]] = defaultdict(list)
            for state in states:
                for word, target in self._words[state]:
                    following[word].append(target)
            row: dict[str, int] = {}
            for word, targets in following.items():
                together = self._closure(targets)
                if together not in numbers:
                    numbers[together] = len(numbers)
                    waiting.append(together)
                row[word] = numbers[together]
            arcs.append(row)
        return arcs, accepting

    def _closure(self, states: Iterable[int]) -> frozenset[int]:
        reached = set(states)
        waiting = list(reached)
        while waiting:
            for target in self._free[waiting.pop()]:
                if target not in reached:
                    reached.add(target)
                    waiting.append(target)
        # States without words matter only as the end: leaving them out makes far fewer distinct sets.
        return frozenset(state for state in reached if self._words[state] or state == self.end)


def _merge_equal(arcs: list[dict[str, int]], accepting: set[int]) -> Automaton:
    """States that take the same words to states that are equal, are equal."""
    ordered = [tuple(sorted(row.items())) for row in arcs]
    targets = [tuple(to for _, to in row) for row in ordered]
    group = _numbered(
        (state in accepting, tuple(word for word, _ in row)) for state, row in enumerate(ordered)
    )
    count = 0
    while count < (now := len(set(group))):
        count = now
        group = _numbered((group[state], *(group[to] for to in row)) for state, row in enumerate(targets))
    merged: list[dict[str, int]] = [{} for _ in range(count)]
    for state, row in enumerate(arcs):
        merged[group[state]] = {word: group[to] for word, to in row.items()}
    return Automaton(tuple(merged), frozenset(group[state] for state in accepting))


def _numbered(keys: Iterable[Hashable]) -> list[int]:
    """A number for each key, the same for equal ones."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]
