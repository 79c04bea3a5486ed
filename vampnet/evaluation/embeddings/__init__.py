"""Embeddings of audio, for set distances such as FAD."""
