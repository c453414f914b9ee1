"""`doctor` tries each stage of a chain: connecting is not yet answering."""

import asyncio
from typing import Any

import pytest

from appliance.config.schema import Configuration
from appliance.doctor import CHECKS
from appliance.finding import Finding
from appliance.probe import LOADING_SECONDS, SECONDS
from tests.rig.chain_service import ChainService


async def findings(service: ChainService, **chain: Any) -> dict[str, Finding]:
    configuration = Configuration.model_validate(
        {"conversation": {"providers": ["chain"]}, "providers": {**service.tables, "chain": chain}}
    )
    [check] = [check for check in CHECKS if check.__name__ == "_provider"]
    async with asyncio.timeout(LOADING_SECONDS + SECONDS + 5.0):
        found = await asyncio.to_thread(lambda: list(check(configuration)))
    return {finding.check.removeprefix("provider chain: "): finding for finding in found}


async def test_each_stage_that_serves_is_told():
    async with ChainService(in_daemon=True) as service:
        found = await findings(service)
        assert {name: finding.state for name, finding in found.items()} == {
            "stt deepgram": "ok",
            "llm openai": "ok",
            "tts cartesia": "ok",
        }
        assert service.mouth.spoken
        assert service.violations == []


async def test_a_model_that_is_not_there_is_named_with_a_remedy():
    async with ChainService(in_daemon=True) as service:
        service.mind.offers = []
        refused = (await findings(service))["llm openai"]
        assert refused.state == "failed"
        assert refused.message.startswith("model or settings: ")
        assert "llm_model" in refused.remedy


@pytest.mark.parametrize("stage", ["mind", "mouth"])
async def test_a_key_that_is_refused_is_named_and_the_others_serve(stage: str):
    async with ChainService(in_daemon=True) as service:
        getattr(service, stage).reject_credentials()
        found = await findings(service, llm_model="gpt-6-luna")
        name = {"mind": "llm openai", "mouth": "tts cartesia"}[stage]
        assert found.pop(name).message.startswith("credentials: ")
        assert {finding.state for finding in found.values()} == {"ok"}


async def test_a_server_that_is_away_is_named():
    async with ChainService(in_daemon=True) as service:
        found = await findings(service, llm_base_url="http://127.0.0.1:9/v1")
        assert found["llm openai"].state == "failed"
        assert found["llm openai"].message.startswith("network: ")
