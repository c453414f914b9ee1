"""The audio core: rings, resampling, voice detection, capture, playout. No device library is imported here."""
