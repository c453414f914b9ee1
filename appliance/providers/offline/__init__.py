"""Speech, answers and skills on the device, without a network."""
