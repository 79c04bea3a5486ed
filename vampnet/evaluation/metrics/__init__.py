"""Metrics between recordings and between sets of recordings."""
