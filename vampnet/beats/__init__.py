"""Beat tracking: a small network trained on composed music, then a search for the best path of beats in bars."""
