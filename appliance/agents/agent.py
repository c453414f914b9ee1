"""An agent: instructions, voice and tools, made from its `[agents.NAME]` section."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.config.schema import Agent as AgentSection
from appliance.errors import UnknownName
from appliance.interfaces import Tool, ToolDeclaration


@dataclass(frozen=True, slots=True)
class Agent:
    """What speaks in a session. `functions` maps every function that its model may call to the tool behind it."""

    name: str
    instructions: str = ""
    greeting: str = ""
    language: str = "en"
    voice: str = ""
    declarations: tuple[ToolDeclaration, ...] = ()
    functions: Mapping[str, Tool] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Tools that the configuration names and that are not installed: the daemon warns of them."""


def agent_from(name: str, section: AgentSection, tools: Mapping[str, Tool]) -> Agent:
    """The agent `name`; `tools` are those installed, by the name that the configuration uses.

    Of two tools that declare the same function, the first in the agent's list has it.
    """
    declarations: list[ToolDeclaration] = []
    functions: dict[str, Tool] = {}
    for tool in (tools[wanted] for wanted in section.tools if wanted in tools):
        for declaration in tool.declarations:
            if declaration.name not in functions:
                functions[declaration.name] = tool
                declarations.append(declaration)
    return Agent(
        name=name,
        instructions=section.instructions,
        greeting=section.greeting,
        language=section.language,
        voice=section.voice,
        declarations=tuple(declarations),
        functions=functions,
        missing=tuple(wanted for wanted in section.tools if wanted not in tools),
    )


def agents_from(sections: Mapping[str, AgentSection], tools: Mapping[str, Tool]) -> dict[str, Agent]:
    """All configured agents, by name."""
    return {name: agent_from(name, section, tools) for name, section in sections.items()}


def choose(agents: Mapping[str, Agent], name: str) -> Agent:
    """The agent `name`. Raise UnknownName."""
    if name not in agents:
        raise UnknownName(
            f"there is no agent {name!r}", hint=f"agents: {', '.join(sorted(agents)) or 'none'}"
        )
    return agents[name]
