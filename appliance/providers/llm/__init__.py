"""Language models of the chain: one file per service, and what they share."""
