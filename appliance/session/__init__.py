"""Conversations: the lines where people talk, a session on each, and who holds the floor in it."""
