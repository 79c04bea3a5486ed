"""Listening tests: a self-contained web page made from folders of audio, its results collected and analysed."""
