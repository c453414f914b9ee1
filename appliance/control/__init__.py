"""The control API: one port, WebSocket `/v1` and a few HTTP pages. docs/control-api.md is its reference."""
