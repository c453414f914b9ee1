"""How the daemon's larger parts are built of the configuration, and joined to those that were built before them."""
