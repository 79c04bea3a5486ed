"""Models: masked transformers and codecs as files, and what is loaded from them."""
