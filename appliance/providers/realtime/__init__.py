"""Models that hear and speak by themselves, over a socket: a package each, and what they share."""
