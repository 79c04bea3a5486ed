"""Rendering and training at once, on a machine with an accelerator."""
