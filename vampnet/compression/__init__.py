"""Audio as a small file of kept tokens (.vamp), the rest generated when it is opened."""
