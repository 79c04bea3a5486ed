"""Training data: token shards, crops of tokens and of audio."""
