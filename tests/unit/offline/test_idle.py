"""What the offline provider costs an appliance that nobody talks to."""

import json
import subprocess
import sys

import pytest

LOADED = """
import json, sys
import appliance.providers.offline.provider
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.slow
def test_until_somebody_talks_neither_recogniser_nor_parser_is_in_memory():
    told = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(json.loads(told.stdout))
    assert "appliance.providers.offline.connection" in loaded
    assert not loaded & {"hassil", "yaml", "pocketsphinx"}
