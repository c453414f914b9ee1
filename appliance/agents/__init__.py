"""Agents: what speaks in a session, the tools it has, and how they are run."""
