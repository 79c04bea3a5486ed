"""Composer and renderer of training audio: a seed becomes music. Imports nothing of vampnet."""
