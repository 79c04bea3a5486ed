"""Controls: what music should be like (tempo, key, chords, rhythm, melody), from audio, words or MIDI."""
