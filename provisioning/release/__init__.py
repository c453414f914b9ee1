"""Releases of the application: made, checked, switched to, and taken back."""
