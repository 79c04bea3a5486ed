"""Distances against signals whose distance is known."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

from vampnet.audio.mel import FLOOR, PAPER_SCALES, mel_distance
from vampnet.errors import AudioError
from vampnet.evaluation.metrics import distances as d

RATE_HZ = 44100


def noise(items: int = 2, n: int = 30000, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(items, n, generator=torch.Generator().manual_seed(seed))


def test_waveform_l1() -> None:
    audio = noise()
    assert d.waveform_l1(audio, audio).tolist() == [0, 0]
    assert d.waveform_l1(audio + 0.25, audio).tolist() == pytest.approx([0.25, 0.25], abs=1e-6)
    with pytest.raises(AudioError, match="equal"):
        d.waveform_l1(audio, audio[:, :-1])


def test_si_sdr_of_orthogonal_noise() -> None:
    time = torch.arange(44100) / RATE_HZ
    tone, other = torch.sin(2 * math.pi * 100 * time)[None], torch.sin(2 * math.pi * 333 * time)[None]
    # The tones are orthogonal over a second, so noise 20 dB down gives 20 dB, whatever the gain and the mean.
    assert d.si_sdr(0.5 * (tone + 0.1 * other) + 0.2, tone).item() == pytest.approx(20, abs=0.01)
    assert d.si_sdr(3 * tone, tone).item() == pytest.approx(100)
    assert d.si_sdr(torch.zeros_like(tone), tone).item() == -100
    assert math.isnan(d.si_sdr(tone, torch.zeros_like(tone)).item())


def test_stft_distance_of_a_gain() -> None:
    audio = noise()
    assert d.stft_distance(audio, audio).tolist() == [0, 0]
    # Half the amplitude: ||X/2 - X|| / ||X|| = 1/2, and ln 2 in every bin.
    assert d.spectral_convergence(0.5 * audio, audio).tolist() == pytest.approx([0.5, 0.5], rel=1e-4)
    assert d.stft_log_magnitude(0.5 * audio, audio).tolist() == pytest.approx([math.log(2)] * 2, rel=1e-3)
    assert d.stft_distance(0.5 * audio, audio).tolist() == pytest.approx([0.5 + math.log(2)] * 2, rel=1e-3)


def test_items_do_not_touch_each_other() -> None:
    audio, other = noise(), noise(seed=1)
    audio[1] *= 30
    for function in (d.stft_distance, d.si_sdr, d.waveform_l1):
        together = function(audio, other)
        alone = torch.cat([function(audio[k : k + 1], other[k : k + 1]) for k in range(2)])
        assert torch.allclose(together, alone, rtol=1e-5)


def test_mel_relatives() -> None:
    one, other = noise(seed=2), noise(seed=3)
    paper = mel_distance(one, other, RATE_HZ)
    assert torch.allclose(d.mel_distance_natural(one, other, RATE_HZ), paper * math.log(10))
    # audiotools' definition, written out with librosa.
    expected = 0.0
    for n_fft, n_mels in PAPER_SCALES:
        mels = [
            librosa.feature.melspectrogram(
                y=x[0].numpy(), sr=RATE_HZ, n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels, power=1.0,
                pad_mode="reflect",
            )
            for x in (one, other)
        ]  # fmt: skip
        logs = [np.log10(np.maximum(m, FLOOR) ** 2) for m in mels]
        expected += np.abs(logs[0] - logs[1]).mean() + np.abs(mels[0] - mels[1]).mean()
    assert d.mel_distance_audiotools(one, other, RATE_HZ)[0].item() == pytest.approx(expected, rel=1e-3)
    # A tenfold gain is 1 in log10 units at each of DAC's seven scales.
    assert d.mel_distance_dac(10 * one, one, RATE_HZ).tolist() == pytest.approx([7, 7], rel=2e-3)


def test_loudness_difference() -> None:
    audio = noise(n=RATE_HZ)
    assert d.loudness_difference(audio * 10 ** (6 / 20), audio, RATE_HZ).tolist() == pytest.approx([6, 6], abs=1e-3)
    silence = torch.zeros(1, RATE_HZ)
    assert d.loudness_difference(silence, silence, RATE_HZ).tolist() == [0]
    assert d.loudness_difference(silence, audio[:1], RATE_HZ).tolist() == [-math.inf]


def test_token_accuracy() -> None:
    reference = torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]])
    codes = torch.tensor([[[1, 2, 0, 0], [5, 6, 7, 8]]])
    assert d.token_accuracy(codes, reference).tolist() == [[0.5, 1.0]]
    mask = torch.tensor([[[False, True, True, True], [False] * 4]])
    found = d.token_accuracy(codes, reference, mask)
    assert found[0, 0].item() == pytest.approx(1 / 3) and math.isnan(found[0, 1].item())
    with pytest.raises(AudioError, match="codebooks"):
        d.token_accuracy(codes, reference[:, :1])


@pytest.mark.parametrize(
    ("codes", "reference", "edits"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 0),
        ([1, 2, 3, 4], [2, 3, 4, 5], 2),
        ([1, 2, 3, 4], [5, 6, 7, 8], 4),
        ([1, 1, 2, 3], [2, 3], 2),
        ([1, 3], [1, 2, 3, 4, 5], 3),
        ([9, 1, 2, 3, 9, 4], [1, 2, 3, 4], 2),
    ],
)
def test_edit_rate(codes: list[int], reference: list[int], edits: int) -> None:
    pair = torch.tensor(codes)[None, None], torch.tensor(reference)[None, None]
    assert d.edit_rate(*pair).item() == pytest.approx(edits / len(reference))


def test_edit_rate_is_batched_and_equals_the_plain_recursion() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(3, (2, 3, 12), generator=generator)
    other = torch.randint(3, (2, 3, 9), generator=generator)
    found = d.edit_rate(one, other)
    for b in range(2):
        for c in range(3):
            assert found[b, c].item() == pytest.approx(_levenshtein(one[b, c].tolist(), other[b, c].tolist()) / 9)


def _levenshtein(one: list[int], other: list[int]) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]
