"""Rendering: notes become audio, with effects and mixing."""
