"""Models that hear and speak by themselves, over a socket: one file or package a provider, and what they share."""
