"""Calibration: how long a sound takes from the output to the input, measured with clicks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vampnet.apps.live.devices import Device
from vampnet.errors import AudioError

N_CLICKS = 8
GAP_S = 0.5
CLICK_S = 0.01
LEVEL = 0.5
CLEAR = 8.0
"""A click counts where it stands out this much from the noise between."""


def measure_latency(device: Device, channels: int, wait: Callable[[int], Any]) -> tuple[int, int]:
    """Samples that a click takes to come back, beyond what the device makes good itself, and their spread.

    Negative where the device makes more good than there is: it says that it is slower than it is.
    `wait(n)` lets `n` samples pass. Raises AudioError where no click comes back.
    """
    rate_hz = device.sample_rate_hz
    gap, n_click = int(GAP_S * rate_hz), int(CLICK_S * rate_hz)
    rng = np.random.default_rng(1)
    click = (LEVEL * rng.choice([-1.0, 1.0], n_click) * np.hanning(n_click)).astype(np.float32)
    out = np.zeros((channels, N_CLICKS * gap), np.float32)
    for k in range(N_CLICKS):
        out[:, k * gap : k * gap + n_click] = click
    device.write(out[:, :gap])
    heard, written = [device.read()], gap
    while written < out.shape[1] or device.fill():
        if device.fill() < gap // 2 and written < out.shape[1]:
            device.write(out[:, written : written + gap // 2])
            written += gap // 2
        wait(gap // 8)
        heard.append(device.read())
    sound = np.concatenate(heard, axis=1).mean(axis=0)
    lags = []
    for k in range(N_CLICKS):
        part = sound[k * gap : (k + 1) * gap]
        if len(part) < n_click:
            continue
        match = np.correlate(part, click, "valid")
        best = int(np.abs(match).argmax())
        rest = np.abs(np.delete(match, np.arange(max(best - n_click, 0), best + n_click) % len(match)))
        if abs(match[best]) > CLEAR * (np.median(rest) + 1e-9):
            lags.append(best if best < 3 * gap // 4 else best - gap)
    if len(lags) < N_CLICKS // 2:
        raise AudioError(
            "the clicks did not come back; connect the output with the input (a cable, or loudspeaker and microphone)"
        )
    return int(np.median(lags)), int(max(lags) - min(lags))
