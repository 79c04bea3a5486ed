"""Generation: tokens and a mask become tokens (paper, section 3.3)."""
