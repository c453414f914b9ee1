"""Speech to text for the chain: one file a service or engine. Group `appliance.stt`."""
