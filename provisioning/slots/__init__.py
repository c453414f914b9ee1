"""Two systems on the card: an update is written into the slot that does not run, tried, and taken back."""
