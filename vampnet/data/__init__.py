"""Training data: composed and rendered music (compose, render, corpus), token shards and datasets."""
