"""Microphone and speaker through PyAudio, which stands on PortAudio, which stands on ALSA or a sound server."""

from drivers.audio_pyaudio.card import PyAudioCard

__all__ = ["PyAudioCard"]
