"""Tasks: audio in, audio out; one file per command."""
