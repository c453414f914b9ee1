"""Hides a tool that a checkout has and no device: with it in sight, httpx loads its command line, 5 MB of it."""

raise ImportError("not on a device")
