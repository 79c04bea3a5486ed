"""Synthesis of single notes: patches, drums, voices and General MIDI sound fonts."""
