"""The front panel: what buttons, switches and a knob do, and what the lights tell."""
