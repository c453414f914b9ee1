"""The lines: what they listen with, and the agents that sessions on them talk as, with the tools that are installed."""

import logging
from collections.abc import Callable, Mapping

from appliance import plugins
from appliance.agents.agent import agents_from
from appliance.agents.tools import Services
from appliance.audio.vad import load_confirm, load_detector
from appliance.audio.wake import load_gate
from appliance.config.schema import Agent, Configuration
from appliance.interfaces import EchoCanceller, Tool
from appliance.session.line import Line
from appliance.session.lines import Ears, Lines
from appliance.session.place import Surroundings
from appliance.session.session import Session

logger = logging.getLogger(__name__)


def build_lines(
    configuration: Configuration,
    around: Surroundings,
    services: Services,
    on_closed: Callable[[Line, Session, str], None],
) -> Lines:
    """None is open yet. An agent whose tool is not installed does without; the log says so."""
    agents = agents_from(configuration.agents, build_tools(configuration.agents, services))
    for agent in agents.values():
        for tool in agent.missing:
            logger.warning("agent %s: the tool %s is not installed", agent.name, tool)
    vad = configuration.vad
    ears = Ears(
        detector=lambda: load_detector("webrtc", vad.aggressiveness),
        confirm=lambda: load_confirm(vad.confirm),
        canceller=_canceller,
        wake=lambda: load_gate(configuration.wake_word),
    )
    return Lines(around, agents, ears, room=configuration.room, on_closed=on_closed)


def build_tools(agents: Mapping[str, Agent], services: Services) -> dict[str, Tool]:
    """By name, those that any of the agents has, as far as they are installed."""
    wanted = {name for agent in agents.values() for name in agent.tools}
    installed = plugins.names("appliance.tools")
    return {
        name: plugins.load("appliance.tools", name)(services) for name in sorted(wanted) if name in installed
    }


def _canceller() -> EchoCanceller:
    canceller: EchoCanceller = plugins.load("appliance.echo_cancellers", "webrtc")()
    return canceller
