"""The paper's mel distance against its definition."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from vampnet.audio.mel import PAPER_SCALES, log_mel, mel_distance


def test_definition() -> None:
    rng = np.random.default_rng(0)
    one, other = (0.1 * rng.standard_normal(20000).astype(np.float32) for _ in range(2))
    expected = []
    for n_fft, n_mels in PAPER_SCALES:
        mels = [
            librosa.feature.melspectrogram(
                y=x, sr=44100, n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels, power=1.0, pad_mode="reflect"
            )
            for x in (one, other)
        ]
        logs = [np.log10(np.maximum(m, 1e-5)) for m in mels]
        expected.append(np.abs(logs[0] - logs[1]).mean())
    ours = mel_distance(torch.from_numpy(one)[None], torch.from_numpy(other)[None], 44100)
    assert ours.item() == pytest.approx(np.mean(expected), rel=1e-3)


def test_identical_is_zero_and_tenfold_is_one() -> None:
    audio = torch.randn(2, 30000, generator=torch.Generator().manual_seed(0))
    assert mel_distance(audio, audio, 44100).tolist() == [0, 0]
    assert torch.allclose(mel_distance(audio, 10 * audio, 44100), torch.ones(2), atol=1e-3)


def test_silence_has_a_finite_gradient() -> None:
    audio = torch.zeros(1, 8000, requires_grad=True)
    log_mel(audio, 44100, 512, 80).sum().backward()
    assert audio.grad is not None and torch.isfinite(audio.grad).all()
