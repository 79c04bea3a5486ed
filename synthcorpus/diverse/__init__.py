"""Diverse audio to train a codec on, beside the composed music: `vampnet corpus DIR --material diverse`.

Kinds (pieces.py): music, solo, dense, drums, texture, speech, song and levels. What may be used in which split stands
in palette.py, the effects that every piece goes through in chains.py.
"""
