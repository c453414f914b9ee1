"""What the offline voice says in an emulated box, as a recogniser writes it."""

import re

from appliance.agents.tools.time import CAVEAT

CLOCK_CAVEAT = re.sub(r"[^a-z ]", "", CAVEAT.lower())
"""After the time: nobody sets the clock of a box that sees no time server."""
