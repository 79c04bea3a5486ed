"""Hostile input at random, by kind of file: each module has `TARGETS`, of which every call is one try."""
