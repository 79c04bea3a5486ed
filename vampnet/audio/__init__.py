"""Audio: samples, files, loudness."""
