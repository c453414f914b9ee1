"""Releases of the application: packed, signed, checked, unpacked beside the running one, tried, and taken back."""
