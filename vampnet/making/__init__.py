"""A model of one's own from a folder of audio: scan, tokens, training, bundle, report."""
