"""Evaluation: metrics of files and of sets of files, the paper's experiments, listening tests."""
