"""What must not be installed beside a language model's library."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_geminis_library_finds_no_http_library_that_it_would_prefer(name):
    locked = (Path(__file__).parents[3] / name).read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("google-genai==") for line in locked)
    # With it the SDK's requests go another way, which no test here goes, and which knows nothing of our deadlines.
    assert not [line for line in locked if line.startswith("aiohttp")]
