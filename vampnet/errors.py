"""Exceptions meant for users: each message names the value, the allowed range and what to do.

The command line prints the message alone and leaves with `exit_code`; Python callers can catch `VampnetError`
to handle all of them.
"""

from importlib import import_module


class VampnetError(Exception):
    """Base of every error that a user can cause and mend."""

    exit_code = 2


class AudioError(VampnetError):
    """An audio file or array that cannot be read, used or written."""


class SettingsError(VampnetError):
    """A setting out of range, of the wrong type, or with an unknown name."""


class PromptError(VampnetError):
    """A prompt part with a bad value."""


class BundleError(VampnetError):
    """A model bundle that is missing, damaged, or whose parts do not belong together."""


class CorpusError(VampnetError):
    """A corpus of audio or tokens that cannot be made or read."""


class ListeningError(VampnetError):
    """A listening test that cannot be made, or results that do not belong to it."""


class StorageError(VampnetError):
    """A file or folder that cannot be read, made or written."""


class DependencyError(VampnetError):
    """An optional dependency that is not installed."""


class VampFileError(VampnetError):
    """A compressed file (.vamp) that is damaged, cut short, of another version or made with another model."""


class Cancelled(VampnetError):
    """A job that was stopped on request."""


class JobError(VampnetError):
    """A job table that cannot be used, or a job that is not there or not in the right state."""


class ServerError(VampnetError):
    """A server that cannot be started, or an answer of a server that says what is wrong with a call."""


class BatchError(VampnetError):
    """Some files of several could not be done; the others were."""

    exit_code = 1


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during long work; the message says what is finished and how to go on."""


EXTRAS = {
    "datasets": "hub",
    "fastapi": "studio",
    "httpx2": "studio",
    "lightning_fabric": "train",
    "matplotlib": "plot",
    "mir_eval": "eval",
    "visqol": "eval",
    "openvino": "openvino",
    "peft": "train",
    "pyarrow": "corpora",
    "pythonosc": "live",
    "ray": "ray",
    "rich": "live",
    "rtmidi": "live",
    "rtmixer": "live",
    "sounddevice": "live",
    "tensorboard": "train",
    "transformers": "eval",
}
"""Optional libraries and the extra of pyproject.toml that installs each."""


def require(library: str, purpose: str) -> None:
    """Check that an optional library can be imported. Raises DependencyError that names the extra to install.

    `purpose` is the plural subject of the message, such as "beat measures".
    """
    try:
        import_module(library)
    except ImportError:
        extra = EXTRAS[library]
        raise DependencyError(
            f"{purpose} need {library}, of the extra `{extra}`: pip install 'vampnet[{extra}]'"
        ) from None
