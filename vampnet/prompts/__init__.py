"""Prompts: which tokens of the input are kept (paper, section 3.4)."""
