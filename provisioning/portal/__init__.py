"""The page that an appliance without a network shows to whoever joins its own."""
