"""Open output files of several libraries behind one interface: libsndfile, FFmpeg, and resampling before either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from vampnet.audio.metadata import TAG_NAMES, held_tags
from vampnet.audio.units import resampled_length

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_Result = TypeVar("_Result")
_AAC_BITS_PER_S = 128_000
"""Bit rate of AAC per channel; more is hardly heard."""


class Sink(Protocol):
    """An open file that takes samples (n, channels)."""

    def write(self, data: NDArray[Any]) -> None:
        """Append samples (samples, channels)."""
        ...

    def close(self) -> None:
        """Finish the file and close it."""
        ...


class SoundfileSink:
    """A file of libsndfile. Its errors are those of the file system, which libsndfile itself does not name."""

    def __init__(
        self, path: Path, sample_rate_hz: int, channels: int, coding: tuple[str, str], tags: dict[str, str]
    ) -> None:
        """`tags` have to stand before the sound. Raises what soundfile raises, and OSError."""
        format_, subtype = coding
        self._bytes: Any = _CheckedFile(path)
        try:
            self._file = soundfile.SoundFile(self._bytes, "w", sample_rate_hz, channels, subtype, format=format_)
            for name in held_tags(format_):
                if name in tags and format_ != "MP3":  # libsndfile writes tags of the old kind there, 30 bytes long
                    setattr(self._file, name, tags[name])
        except BaseException:
            self._bytes.close()
            raise

    def write(self, data: NDArray[Any]) -> None:
        """Append samples (samples, channels)."""
        try:
            self._file.write(data)
        finally:
            self._bytes.check()

    def close(self) -> None:
        """Finish the file and close it."""
        try:
            self._file.close()
        finally:
            self._bytes.close()
        self._bytes.check()


class _CheckedFile:
    """A file that keeps its first error for `check`, and from then on takes all that comes and writes nothing.

    Libraries in C are told of no error: libsndfile says no cause, and FFmpeg's muxer can crash.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b")  # noqa: SIM115  (closed by the sink)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        return self._guarded(lambda: self._file.write(data), len(data))

    def read(self, n_bytes: int) -> bytes:
        return self._guarded(lambda: self._file.read(n_bytes), b"")

    def seek(self, place: int, whence: int = 0) -> int:
        return self._guarded(lambda: self._file.seek(place, whence), place)

    def tell(self) -> int:
        return self._guarded(self._file.tell, 0)

    def flush(self) -> None:
        self._guarded(self._file.flush, None)

    def close(self) -> None:
        try:
            self._file.close()  # writes what is held first
        except OSError as error:
            self._error = self._error or error

    def _guarded(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        if self._error is not None:
            return otherwise
        try:
            return call()
        except OSError as error:
            self._error = error
            return otherwise


class ResamplingSink:
    """Brings samples to another rate on their way into a sink."""

    def __init__(self, sink: Sink, from_hz: int, to_hz: int, channels: int) -> None:
        self._sink, self._from_hz, self._to_hz, self._channels = sink, from_hz, to_hz, channels
        self._stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="VHQ")
        self._n_in = self._n_out = 0

    def write(self, data: NDArray[Any]) -> None:
        """Append samples (samples, channels)."""
        self._n_in += len(data)
        self._write(self._stream.resample_chunk(np.ascontiguousarray(data, dtype=np.float32)))

    def close(self) -> None:
        """Finish the file and close it."""
        try:
            self._write(self._stream.resample_chunk(np.zeros((0, self._channels), np.float32), last=True))
            missing = resampled_length(self._n_in, self._from_hz, self._to_hz) - self._n_out
            if missing > 0:
                self._sink.write(np.zeros((missing, self._channels), np.float32))
        finally:
            self._sink.close()

    def _write(self, data: NDArray[Any]) -> None:
        """Write what belongs to the samples so far: the resampler may give some more at the end."""
        data = data[: resampled_length(self._n_in, self._from_hz, self._to_hz) - self._n_out]
        if len(data):
            self._sink.write(np.clip(data, -1.0, 1.0))
            self._n_out += len(data)


class FfmpegSink:
    """An m4a file, its sound as AAC or as ALAC (lossless, 24 bits), by FFmpeg."""

    def __init__(self, path: Path, sample_rate_hz: int, channels: int, subtype: str, tags: dict[str, str]) -> None:
        """Raises ValueError or an error of FFmpeg for a rate or number of channels that the coding does not have."""
        import av

        if channels not in _LAYOUTS:
            raise ValueError(f"{channels} channels")
        self._n_samples, self._rate_hz, self._layout = 0, sample_rate_hz, _LAYOUTS[channels]
        self._held: list[Any] = []
        self._bytes: Any = _CheckedFile(path)
        try:
            options = {"movie_timescale": str(sample_rate_hz)}
            self._container = av.open(self._bytes, "w", format="ipod", options=options)
        except BaseException:
            self._bytes.close()
            raise
        try:
            self._container.metadata.update({name: tags[name] for name in TAG_NAMES if name in tags})
            self._stream: Any = self._container.add_stream(subtype.lower(), rate=sample_rate_hz, layout=self._layout)
            self._stream.codec_context.format = "fltp" if subtype == "AAC" else "s32p"
            if subtype == "AAC":
                self._stream.bit_rate = _AAC_BITS_PER_S * channels
            self._lossless = subtype != "AAC"
            self._stream.codec_context.open()
        except BaseException:
            self._container.close()
            self._bytes.close()
            raise

    def write(self, data: NDArray[Any]) -> None:
        """Append samples (samples, channels)."""
        import av

        planes = np.ascontiguousarray(data.T, dtype=np.float32)
        if self._lossless:
            whole = np.clip(np.rint(planes.astype(np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)
            planes = np.ascontiguousarray(whole << 8)
        frame = av.AudioFrame.from_ndarray(planes, format="s32p" if self._lossless else "fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate_hz, self._n_samples
        self._n_samples += len(data)
        self._mux(self._stream.encode(frame))
        self._bytes.check()

    def close(self) -> None:
        """Finish the file and close it."""
        try:
            if self._n_samples:
                self._finish()
        finally:
            self._container.close()
            self._bytes.close()
        self._bytes.check()

    def _mux(self, packets: list[Any]) -> None:
        """Hand packets on, but keep the last one back: its duration may have to be shortened."""
        self._held += packets
        self._container.mux(self._held[:-1])
        self._held = self._held[-1:]

    def _finish(self) -> None:
        n_samples, frame_size = self._n_samples, self._stream.codec_context.frame_size
        missing = 0 if self._lossless else -n_samples % frame_size
        if missing:  # the encoder would end a frame of its own choice
            self.write(np.zeros((missing, self._stream.codec_context.layout.nb_channels), np.float32))
        self._mux(self._stream.encode(None))
        if missing:
            self._held[-1].duration -= missing
        self._container.mux(self._held)
