"""Waveform <-> codes."""
