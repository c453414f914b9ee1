"""How a sensitivity becomes a lead."""

from appliance.providers.offline.spotter import USUAL_LEAD, lead


def test_the_higher_the_sensitivity_the_smaller_the_lead():
    leads = [lead(tenth / 10) for tenth in range(11)]
    assert leads == sorted(leads, reverse=True)
    assert lead(0.5) == USUAL_LEAD
