"""The verbs of the command line that are clients of a running daemon, and `pair`."""
