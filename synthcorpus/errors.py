"""The error that a user of the composer can cause and mend."""


class CompositionError(Exception):
    """Settings, a sound font or a folder that no corpus can be made with; the message says what to do."""
