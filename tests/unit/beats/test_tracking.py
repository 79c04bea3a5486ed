"""The learned tracker's parts: framing, windows of the network, the search for beats, bars."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampnet.beats import tcn_tracker as learned
from vampnet.beats.features import FFT, HOP, N_BANDS, Collector, band_magnitudes, compress
from vampnet.beats.postprocessing import Search, bar_numbers, best_path, refine_frames
from vampnet.beats.tcn import BeatNetwork, beat_probabilities, load_network, save_network, shipped_network
from vampnet.training.beats.train import target

SEARCH = Search()


def activations(places: np.ndarray, n_frames: int, height: float = 0.9, floor: float = 0.02) -> np.ndarray:
    """Probabilities that rise around each place as the training targets do."""
    return np.maximum(target(places / 50, n_frames) * height, floor)


def beat_frames(probability_T: np.ndarray, search: Search) -> np.ndarray:
    """Beats alone: nothing is heard of bars."""
    return best_path(np.stack([probability_T, np.full(len(probability_T), 0.2)], axis=1), search)[0]


@pytest.mark.parametrize("gap", [14.0, 17.3, 25.0, 40.7, 60.0])
def test_a_steady_pulse_is_found_between_frames(gap: float) -> None:
    places = np.arange(10.4, 980, gap)
    found = refine_frames(beat_frames(activations(places, 1000), SEARCH), activations(places, 1000))
    assert len(found) == len(places) and np.abs(found - places).max() < 0.2


def test_a_missing_beat_is_filled_and_an_extra_one_ignored() -> None:
    places = np.arange(20.0, 980, 25)
    heard = np.sort(np.append(np.delete(places, [10, 11, 20]), 20 + 25 * 5 + 12))
    assert beat_frames(activations(heard, 1000), SEARCH).tolist() == places.tolist()


def test_tempo_may_drift() -> None:
    places = np.cumsum(np.linspace(20, 40, 30))
    assert np.abs(beat_frames(activations(places, 950), SEARCH) - places).max() <= 1.0


def test_a_pause_has_no_beats() -> None:
    places = np.concatenate([np.arange(10, 400, 25), np.arange(1203, 1600, 30)])
    assert beat_frames(activations(places, 1600, 0.99, 0.001), SEARCH).tolist() == places.tolist()


@pytest.mark.parametrize("n_frames", [0, 1, 5, 100])
def test_silence_has_no_beats(n_frames: int) -> None:
    assert len(beat_frames(np.zeros(n_frames), SEARCH)) == 0


def test_uneven_bars_are_found() -> None:
    places = np.cumsum(np.tile([20, 20, 30], 14)).astype(float)
    both = np.stack([activations(places, 1000), activations(places[2::3], 1000)], axis=1)
    frames, numbers = best_path(both, SEARCH)
    assert frames.tolist() == places.tolist() and frames[numbers == 1].tolist() == places[2::3].tolist()


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_the_path_counts_bars(length: int) -> None:
    places = np.arange(20.0, 980, 25)
    both = np.stack([activations(places, 1000), activations(places[1::length], 1000)], axis=1)
    frames, numbers = best_path(both, SEARCH)
    assert frames[numbers == 1].tolist() == places[1::length].tolist()


def test_half_bars_that_sound_like_beginnings_are_no_bars() -> None:
    places = np.arange(20.0, 980, 25)
    heard = np.maximum(activations(places[::4], 1000, 0.97), activations(places[2::4], 1000, 0.63))
    frames, numbers = best_path(np.stack([activations(places, 1000), heard], axis=1), SEARCH)
    assert frames[numbers == 1].tolist() == places[::4].tolist()
    p = np.tile([0.97, 0.01, 0.63, 0.01], 8)
    assert np.flatnonzero(bar_numbers(p, SEARCH) == 1).tolist() == list(range(0, 32, 4))


def test_a_beat_at_the_very_beginning_stays_there() -> None:
    places = np.arange(0.0, 990, 25)
    assert refine_frames(places.astype(int), activations(places, 1000))[0] == 0.0


@pytest.mark.parametrize("length", [2, 3, 4, 5, 7])
def test_bars_are_counted(length: int) -> None:
    p = np.full(40, 0.1)
    p[1::length] = 0.8
    p[1 + 3 * length] = 0.05  # one downbeat that nobody hears
    assert np.flatnonzero(bar_numbers(p, SEARCH) == 1).tolist() == list(range(1, 40, length))
    assert bar_numbers(p, SEARCH)[0] == length  # the upbeat counts towards the bar


def test_a_change_of_metre_is_followed() -> None:
    p = np.full(48, 0.05)
    p[:24:4] = p[24::3] = 0.9
    assert np.flatnonzero(bar_numbers(p, SEARCH) == 1).tolist() == [*range(0, 24, 4), *range(24, 48, 3)]


def test_no_beats_have_no_bars() -> None:
    assert learned.beats_and_bars(np.zeros((50, 2))) == ((), ())
    assert bar_numbers(np.zeros(0), SEARCH).tolist() == []


def test_spectra_do_not_depend_on_the_pieces() -> None:
    samples = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    whole = Collector(FFT, HOP, band_magnitudes)
    whole.push(samples)
    spectra = whole.finish()
    pieces = Collector(FFT, HOP, band_magnitudes)
    for start in range(0, len(samples), 77):
        pieces.push(samples[start : start + 77])
    assert np.allclose(pieces.finish(), spectra, atol=1e-6)
    assert spectra.shape == (10_000 // HOP + 1, N_BANDS)
    assert np.allclose(compress(spectra * 100), compress(spectra), atol=1e-4)
    assert not compress(np.zeros((4, N_BANDS))).any()


def test_windows_of_the_network_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    from vampnet.beats import tcn as module

    torch.manual_seed(0)
    network = BeatNetwork().eval()
    spectra = torch.rand(700, N_BANDS)
    whole = beat_probabilities(network, spectra)
    monkeypatch.setattr(module, "WINDOW_FRAMES", 300)
    assert torch.allclose(beat_probabilities(network, spectra), whole, atol=1e-5)
    assert beat_probabilities(network, spectra[:0]).shape == (0, 2)


def test_weights_survive_a_file(tmp_path) -> None:
    torch.manual_seed(0)
    network = BeatNetwork().eval()
    save_network(network, tmp_path / "x.safetensors", {"steps": 1})
    spectra = torch.rand(50, N_BANDS)
    assert torch.allclose(
        beat_probabilities(load_network(tmp_path / "x.safetensors"), spectra),
        beat_probabilities(network, spectra),
        atol=2e-3,
    )


def test_the_shipped_network_is_small() -> None:
    assert sum(p.numel() for p in shipped_network().parameters()) < 200_000
