"""Training: codec, masked token models, and the loop that both share."""
