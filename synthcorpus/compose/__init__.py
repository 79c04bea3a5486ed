"""Composition: a seed becomes a piece of notes (form, harmony, melody, accompaniment, drums)."""
