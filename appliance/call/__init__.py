"""SIP calls: the state table, who may call, and the controller between telephone and lines."""
