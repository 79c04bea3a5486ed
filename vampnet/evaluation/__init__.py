"""How far outputs are from inputs, file by file and as sets, and what that is worth (docs/metrics.md lists all)."""
