"""Configuration files of desk phones: each maker's field names, and what they are called here."""
