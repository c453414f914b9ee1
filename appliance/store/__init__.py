"""SQLite: what was said and who called."""
