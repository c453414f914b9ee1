"""Speech to text, a language model and text to speech behind the one contract of a provider.

provider.py    the stages by name, and the connections
connection.py  what the session says goes to the stages, what they say goes to the session
ear.py         speech to text: journal, redial, next rung
mind.py        language model: retry, next rung
mouth.py       text to speech: pieces fetched side by side, spoken in order, next rung
memory.py      what was said, as it was heard (pure)
chunker.py     a model's text in pieces that can be spoken (pure)
rungs.py       which stage of a kind is asked first (pure)
"""

from appliance.providers.chain.provider import Chain

__all__ = ["Chain"]
