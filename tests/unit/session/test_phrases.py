"""The appliance's own lines."""

import pytest

from appliance.session.phrases import Phrase, phrase


@pytest.mark.parametrize("which", list(Phrase))
@pytest.mark.parametrize("language", ["en", "de", "de-AT", "xx"])
def test_every_line_of_the_appliance_can_be_said(which, language):
    assert phrase(which, language)
