"""Handset: a voice-agent appliance. This package holds policy and asyncio; native libraries live in drivers/."""
