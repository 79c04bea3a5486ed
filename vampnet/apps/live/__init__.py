"""Live: a looper whose loops the model varies while they play."""
