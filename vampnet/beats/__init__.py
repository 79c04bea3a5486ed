"""Beats and bars by a small network that learned from the composer's exact beats, and the search that follows it."""
