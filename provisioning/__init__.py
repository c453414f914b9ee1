"""First boot: identity, network, accounts, secrets, pairing, reset."""
