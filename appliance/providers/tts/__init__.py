"""Text to speech: stages of the chain that speak one piece at a time."""
