"""Audio files in and out, whole or in blocks of bounded memory, and resampling.

Samples are float32 arrays (channels, samples), full scale at 1.0. Read: WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF and
what else libsndfile knows, told apart by content. Written: the endings in `ENDINGS`. Every failure is an AudioError of
one line with the file's name and the cause; `containers.py` says which cut or damaged files are recognised.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from vampnet.audio.integrity import open_checked, quoted, reason
from vampnet.audio.units import resampled_length, samples_to_seconds
from vampnet.errors import AudioError

Samples = NDArray[np.float32]

MIN_RATE_HZ, MAX_RATE_HZ = 4000, 768000
MAX_CHANNELS = 256
BLOCK_SAMPLES = 65536

ENDINGS = {
    ".wav": ("WAV", "PCM_24"),
    ".flac": ("FLAC", "PCM_24"),
    ".aif": ("AIFF", "PCM_24"),
    ".aiff": ("AIFF", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""File endings that can be written: libsndfile's format and the default subtype (coding of the samples)."""

_UNCLAMPED = ("FLOAT", "DOUBLE")
# Codings that an output takes over from its input; the compressed ones would add noise or change the length.
_LINEAR = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
_WIDER_THAN_FLOAT32 = ("PCM_32", "DOUBLE")
_MAX_WAV_BYTES = 2**32 - 1  # WAV and AIFF hold sizes as 32-bit numbers
_QUALITY = "VHQ"


@dataclass(frozen=True, eq=False)
class Audio:
    """A piece of audio in memory."""

    samples: Samples
    """float32 (channels, samples), finite, at least one sample; full scale at 1.0 (larger values are allowed)."""
    sample_rate_hz: int
    """Samples per second and channel, 4000 to 768000."""

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f":
            kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
            raise AudioError(f"samples are {kind}, but must be a numpy array of floats with full scale at 1.0")
        if samples.ndim != 2 or not 1 <= len(samples) <= MAX_CHANNELS:
            raise AudioError(
                f"samples have shape {samples.shape}, but must be (channels, samples); mono is (1, samples)"
            )
        if samples.shape[1] == 0:
            raise AudioError("audio has no samples")
        _check_rate("audio", self.sample_rate_hz)
        _check_finite("audio", samples, 0, self.sample_rate_hz)
        object.__setattr__(self, "samples", samples.astype(np.float32, copy=False))

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self.samples.shape[1]

    @property
    def duration_s(self) -> float:
        return samples_to_seconds(self.n_samples, self.sample_rate_hz)


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    sample_rate_hz: int
    channels: int
    n_samples: int
    """Samples per channel."""
    format: str
    """libsndfile's name of the container: "WAV", "FLAC", "OGG", "MP3", "AIFF", ..."""
    subtype: str
    """libsndfile's name of the coding: "PCM_16", "FLOAT", "VORBIS", ..."""

    @property
    def duration_s(self) -> float:
        return samples_to_seconds(self.n_samples, self.sample_rate_hz)


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """What the file's header says. Raises AudioError as reading does, but does not decode the samples."""
    with AudioReader(path) as reader:
        return reader.info


def read(path: str | os.PathLike[str]) -> Audio:
    """Read a whole file. Raises AudioError if it is missing, damaged, cut short, empty, or holds NaN samples."""
    with AudioReader(path) as reader:
        samples = np.empty((reader.info.channels, reader.info.n_samples), np.float32)
        done = 0
        for block in reader:
            samples[:, done : done + block.shape[1]] = block
            done += block.shape[1]
        return Audio(samples, reader.info.sample_rate_hz)


def write(
    path: str | os.PathLike[str], audio: Audio, subtype: str | None = None, like: AudioInfo | None = None
) -> None:
    """Write a file, see AudioWriter for the coding and the errors."""
    with AudioWriter(path, audio.sample_rate_hz, audio.channels, subtype, like) as writer:
        for start in range(0, audio.n_samples, BLOCK_SAMPLES):
            writer.write(audio.samples[:, start : start + BLOCK_SAMPLES])


class AudioReader:
    """Reads a file in blocks: `with AudioReader(path) as reader: for block in reader: ...`.

    Blocks are float32 (channels, n), together exactly `info.n_samples` long. Iterating goes on where it stopped.
    With `exact` they are float64 where float32 cannot hold all values of the coding (32-bit integers, 64-bit floats).
    Raises AudioError: on making it for a file that cannot be opened, in the iteration for damage and NaN samples.
    """

    def __init__(self, path: str | os.PathLike[str], block_samples: int = BLOCK_SAMPLES, exact: bool = False) -> None:
        self._name = quoted(path)
        self._block_samples = block_samples
        self._done = 0
        self._source = open_checked(path)
        try:
            self._file = self._decoder()
            self.info = AudioInfo(
                self._file.samplerate, self._file.channels, self._file.frames, self._file.format, self._file.subtype
            )
            self._check_header()
            self._dtype: Literal["float32", "float64"]
            self._dtype = "float64" if exact and self.info.subtype in _WIDER_THAN_FLOAT32 else "float32"
        except BaseException:
            self._source.close()
            raise

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._source.close()

    def __iter__(self) -> Iterator[Samples]:
        while self._done < self.info.n_samples:
            yield self._next_block(self._block_samples)

    def skip(self, n_samples: int) -> None:
        """Leave out the next samples."""
        stop = min(self._done + n_samples, self.info.n_samples)
        if self.info.subtype in _LINEAR:
            self._done = self._file.seek(stop)
        # Decoders of lossy formats start with other values after a jump than they have when they come by.
        while self._done < stop:
            self._next_block(min(self._block_samples, stop - self._done))

    def _decoder(self) -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(self._source)
        except (soundfile.LibsndfileError, TypeError):  # TypeError: endings that soundfile takes for headerless data
            raise AudioError(
                f"cannot read {self._name}: not an audio file, or damaged at its beginning"
                " (WAV, FLAC, OGG, MP3 and AIFF can be read; convert others first)"
            ) from None

    def _check_header(self) -> None:
        if self.info.n_samples == 0:
            raise AudioError(f"cannot read {self._name}: it has no samples")
        if self.info.n_samples >= 2**62:
            raise AudioError(
                f"cannot read {self._name}: its header does not say how long it is; convert it to WAV first"
            )
        _check_rate(self._name, self.info.sample_rate_hz)

    def _next_block(self, n_samples: int) -> Samples:
        try:
            data = self._file.read(n_samples, dtype=self._dtype, always_2d=True)
        except soundfile.LibsndfileError:
            raise AudioError(f"cannot read {self._name}: damaged or truncated after {self._at_s():.3f} s") from None
        if not len(data):
            raise AudioError(
                f"cannot read {self._name}: damaged or truncated, it ends after {self._at_s():.3f} s"
                f" of {self.info.duration_s:.3f} s"
            )
        block = np.ascontiguousarray(data.T)
        _check_finite(self._name, block, self._done, self.info.sample_rate_hz)
        self._done += block.shape[1]
        return block

    def _at_s(self) -> float:
        return samples_to_seconds(self._done, self.info.sample_rate_hz)


class AudioWriter:
    """Writes a file in blocks: `with AudioWriter(path, rate, channels) as writer: writer.write(block)`.

    The ending of the name chooses the format. The coding is `subtype` if given, else that of the file `like` describes
    if it is an uncompressed one that the format has, else the format's default (`ENDINGS`). Values beyond full scale
    are clamped unless the coding is a float one. The file appears under its name when the `with` block ends well; if
    it ends with an exception, nothing is left and a file that was there before stays as it was. Raises AudioError for
    an ending, coding, rate or number of channels that cannot be written, no samples, a folder or disk without room.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate_hz: int,
        channels: int,
        subtype: str | None = None,
        like: AudioInfo | None = None,
    ) -> None:
        self._path = Path(path)
        self._name = quoted(path)
        self._rate_hz, self._channels = sample_rate_hz, channels
        self._n_samples = 0
        self._format, self._subtype = output_coding(path, subtype, like)
        self._temporary = self._make_temporary()
        try:
            self._file = soundfile.SoundFile(
                str(self._temporary), "w", sample_rate_hz, channels, self._subtype, format=self._format
            )
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            self._temporary.unlink(missing_ok=True)
            raise AudioError(self._refusal(error)) from None

    def __enter__(self) -> AudioWriter:
        return self

    def write(self, block: Samples) -> None:
        """Append the samples of a float array (channels, n); raises AudioError for another shape or a NaN."""
        if block.ndim != 2 or len(block) != self._channels:
            raise AudioError(
                f"cannot write {self._name}: block has shape {block.shape}, not ({self._channels}, samples)"
            )
        _check_finite(self._name, block, self._n_samples, self._rate_hz)
        if self._subtype not in _UNCLAMPED:
            block = np.clip(block, -1.0, 1.0)
        # Long runs in one call overflow the stack of libsndfile's Vorbis coder.
        for start in range(0, block.shape[1], BLOCK_SAMPLES):
            part = block[:, start : start + BLOCK_SAMPLES].T
            self._append(np.ascontiguousarray(part, dtype=np.float64 if part.dtype == np.float64 else np.float32))
        self._n_samples += block.shape[1]

    def _append(self, data: NDArray[Any]) -> None:
        """Write samples of shape (n, channels)."""
        try:
            # A float sample of 8 bytes is the longest there is.
            bytes_after = self._temporary.stat().st_size + 8 * data.size
            if self._format in ("WAV", "AIFF") and bytes_after > _MAX_WAV_BYTES:
                raise AudioError(f"cannot write {self._name}: {self._format} holds at most 4 GiB, use the ending .flac")
            self._file.write(data)
        except (soundfile.LibsndfileError, OSError, AssertionError):  # soundfile asserts that all was written
            raise AudioError(f"cannot write {self._name}: writing failed, the disk may be full") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if kind is None and not self._n_samples:
                raise AudioError(f"cannot write {self._name}: there are no samples to write")
            if kind is None:
                os.replace(self._temporary, self._path)
        except (soundfile.LibsndfileError, OSError) as failure:
            if kind is None:
                raise AudioError(f"cannot write {self._name}: {reason(failure)}") from None
        finally:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def discard(self) -> None:
        self.__exit__(KeyboardInterrupt, None, None)

    def _make_temporary(self) -> Path:
        """An empty file beside the output, with the permissions that a new file gets here."""
        temporary = self._path.with_name(f".{self._path.name[:100]}.{secrets.token_hex(6)}.tmp")
        try:
            if self._path.is_dir():
                raise AudioError(f"cannot write {self._name}: it is a folder")
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileNotFoundError:
            raise AudioError(f"cannot write {self._name}: there is no folder {quoted(self._path.parent)}") from None
        except (OSError, ValueError) as error:
            raise AudioError(f"cannot write {self._name}: {reason(error)}") from None
        return temporary

    def _refusal(self, error: Exception) -> str:
        hint = ""
        if self._subtype == "OPUS":
            hint = "; Opus takes 8000, 12000, 16000, 24000 or 48000 Hz, use another ending for others"
        elif self._format == "MP3":
            hint = "; MP3 takes one or two channels and rates of 8000 to 48000 Hz, use another ending for others"
        what = f"{self._format} {self._subtype} with {self._channels} channels at {self._rate_hz} Hz"
        return f"cannot write {self._name}: no {what}{hint}"


def output_coding(
    path: str | os.PathLike[str], subtype: str | None = None, like: AudioInfo | None = None
) -> tuple[str, str]:
    """Format and subtype that AudioWriter would use; AudioError if there is none. Touches no file."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise AudioError(f"cannot write {quoted(path)}: ending {ending!r} is not one of {', '.join(ENDINGS)}")
    format_, default = ENDINGS[ending]
    possible = soundfile.available_subtypes(format_)
    if subtype is not None:
        if subtype not in possible:
            raise AudioError(f"cannot write {quoted(path)}: {format_} has no {subtype!r}, only {', '.join(possible)}")
        return format_, subtype
    if like is not None and like.subtype in possible and like.subtype in _LINEAR:
        return format_, like.subtype
    return format_, default


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The whole signal (channels, samples) at another rate, `frames.resampled_length` samples; unchanged if equal."""
    if from_hz == to_hz:
        return samples
    n_out = resampled_length(samples.shape[1], from_hz, to_hz)
    result = soxr.resample(np.ascontiguousarray(samples.T, dtype=np.float32), from_hz, to_hz, _QUALITY)
    fitted = np.zeros((len(samples), n_out), np.float32)
    fitted[:, : len(result)] = result[:n_out].T
    return fitted


def resample_blocks(blocks: Iterable[Samples], from_hz: int, to_hz: int, n_out: int) -> Iterator[Samples]:
    """Resample a stream of blocks (channels, n) in bounded memory, exactly `n_out` samples in all.

    What comes out too long or short is cut off or filled up with zeros; take `frames.resampled_length` of the length
    for `n_out` and neither is needed but for a few samples. The result equals that of `resample`.
    """
    return _fit(blocks if from_hz == to_hz else _resampled(blocks, from_hz, to_hz), n_out)


def _resampled(blocks: Iterable[Samples], from_hz: int, to_hz: int) -> Iterator[Samples]:
    stream, channels = None, 0
    for block in blocks:
        if stream is None:
            channels = len(block)
            stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality=_QUALITY)
        yield stream.resample_chunk(np.ascontiguousarray(block.T, dtype=np.float32)).T
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def _fit(blocks: Iterable[Samples], n_out: int) -> Iterator[Samples]:
    """The blocks, cut off or filled up with zeros to `n_out` samples; without empty ones; nothing if there are none."""
    left, channels = n_out, 0
    for block in blocks:
        channels = len(block)
        if block.shape[1] and left:
            yield block[:, :left]
            left -= min(left, block.shape[1])
    while left and channels:
        yield np.zeros((channels, min(left, BLOCK_SAMPLES)), np.float32)
        left -= min(left, BLOCK_SAMPLES)


def _check_rate(name: str, sample_rate_hz: int) -> None:
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} has {sample_rate_hz} Hz, but the sample rate must lie in {MIN_RATE_HZ} to {MAX_RATE_HZ}"
        )


def _check_finite(name: str, block: Samples, offset: int, sample_rate_hz: int) -> None:
    """Raise AudioError at the first NaN or infinite sample; `offset` samples came before the block."""
    finite = np.isfinite(block)
    if not finite.all():
        channel, sample = min(np.argwhere(~finite).tolist(), key=lambda place: place[1])
        at_s = samples_to_seconds(offset + sample, sample_rate_hz)
        raise AudioError(f"{name} has a NaN or infinite sample at {at_s:.3f} s in channel {channel + 1}")
