"""Beats and bars from probabilities per frame.

The best path through the frames under a semi-Markov model. A beat scores the log odds of its frame, a downbeat those of
a downbeat too. Beats follow one another in bars of a pattern (even ones of 2 to 5 beats, and 2 + 2 + 3 and 3 + 2 + 2),
the gap to the next beat may differ a little from the gap before it, and a path may pause where there is no pulse.
Beats that are given get their bars by the best labelling: bars of 2 to 7 beats that mostly keep their length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Search:
    """Costs of the search for the best path; tuned on the composer's validation pieces."""

    min_gap: int = 13
    """Shortest gap between beats, frames at 50 per second (231 beats per minute)."""
    max_gap: int = 63
    """Longest gap of a beat of length 1 (48 beats per minute)."""
    gap_spread: float = 0.05
    """Standard deviation of the logarithm of the ratio of neighbouring gaps."""
    widest_change: int = 8
    """Most that neighbouring gaps differ, frames."""
    pause_cost: float = 15.0
    """Cost of a pause longer than `max_gap`, nats."""
    floor: float = 0.01
    """Probabilities are kept this far from 0 and 1."""
    patterns: tuple[tuple[tuple[float, ...], float], ...] = (
        ((1, 1, 1, 1), 0.0),
        ((1, 1, 1), 0.0),
        ((1, 1), 1.0),  # else the half bars of 4/4, which sound like beginnings too, count as bars of two beats
        ((1, 1, 1, 1, 1), 1.0),
        ((1, 1, 1.5), 1.0),
        ((1.5, 1, 1), 2.0),
    )
    """Lengths of the beats of a bar, and what each such bar costs, nats."""
    downbeat_weight: float = 1.0
    """Weight of a downbeat's log odds beside a beat's."""
    bar_costs: tuple[tuple[int, float], ...] = ((4, 0.0), (3, 0.0), (2, 0.4), (5, 1.0), (6, 2.0), (7, 2.0))
    """Beats per bar that are considered for given beats, and the cost of each such bar, nats."""
    bar_change_cost: float = 8.0
    """Cost of a change of the bar's length or of a bar cut short, nats."""


BEGINS = 255
"""In the table of gaps: no gap before, the path begins here."""


class Pulse:
    """The states of the search: places in the bars of all patterns (Z), each with the gap per unit before it (J)."""

    def __init__(self, search: Search) -> None:
        places = [(n, k) for n, (lengths, _) in enumerate(search.patterns) for k in range(len(lengths))]
        self.length_Z = np.array([search.patterns[n][0][k] for n, k in places])
        """Length of the beat that begins at each place."""
        self.is_first_Z = np.array([k == 0 for _, k in places])
        self.cost_Z = np.array([search.patterns[n][1] if k == 0 else 0.0 for n, k in places])
        self.before_Z = np.array(
            [i - 1 if k else i + len(search.patterns[n][0]) - 1 for i, (n, k) in enumerate(places)]
        )
        """The place before each."""
        self.gaps_J = np.arange(search.min_gap, search.max_gap + 1)
        self.frames_ZJ = np.round(self.length_Z[self.before_Z, None] * self.gaps_J).astype(int)
        """Frames since the beat before."""
        shifts = np.arange(-search.widest_change, search.widest_change + 1)
        near_JN = np.arange(len(self.gaps_J))[:, None] + shifts
        self.near_JN = np.clip(near_JN, 0, len(self.gaps_J) - 1)
        """Gaps that may have come before each."""
        change_JN = np.log(self.gaps_J[self.near_JN] / self.gaps_J[:, None]) / search.gap_spread
        self.change_cost_JN = np.where(near_JN == self.near_JN, 0.5 * change_JN**2, np.inf)


def best_path(probability_T2: np.ndarray, search: Search) -> tuple[np.ndarray, np.ndarray]:
    """Frames of beats, ascending, and the number of each in its bar from 1, from probabilities (T, 2)."""
    pulse = Pulse(search)
    beat_T, downbeat_T = (beat_gains(probability_T2[:, k], search.floor) for k in (0, 1))
    gain_TZ = beat_T[:, None] + search.downbeat_weight * downbeat_T[:, None] * pulse.is_first_Z - pulse.cost_Z
    n_frames, n_places, n_gaps = len(gain_TZ), len(pulse.length_Z), len(pulse.gaps_J)
    lead = int(pulse.frames_ZJ.max())
    recent_TZJ = np.full((lead + 1, n_places, n_gaps), -np.inf)  # ring over T: best path to a beat at t, gap J after it
    came_TZJ = np.full((n_frames, n_places, n_gaps), BEGINS, dtype=np.uint8)  # the gap before t on that path
    resumed_T = np.full(n_frames, -1)  # the beat before the pause that ends at t, -1 for none
    best_T, best_state_T = np.full(n_frames, -np.inf), np.zeros(n_frames, dtype=int)
    rest, rested = 0.0, -1
    column_J = np.arange(n_gaps)
    for t in range(n_frames):
        ring_ZJ = (t - pulse.frames_ZJ) % (lead + 1)
        scores_ZJ = recent_TZJ[ring_ZJ, pulse.before_Z[:, None], column_J] + gain_TZ[t][:, None]
        best_state_T[t] = state = int(scores_ZJ.argmax())
        best_T[t] = scores_ZJ.flat[state]
        if t >= search.max_gap and best_T[t - search.max_gap] - search.pause_cost > rest:
            rest, rested = best_T[t - search.max_gap] - search.pause_cost, t - search.max_gap
        options_ZJN = scores_ZJ[:, pulse.near_JN] - pulse.change_cost_JN
        chosen_ZJ = options_ZJN.argmax(axis=2)
        onward_ZJ = np.take_along_axis(options_ZJN, chosen_ZJ[..., None], axis=2)[..., 0]
        begin_Z1 = rest + gain_TZ[t][:, None]
        begins_ZJ = onward_ZJ < begin_Z1
        came_TZJ[t] = np.where(begins_ZJ, BEGINS, pulse.near_JN[column_J, chosen_ZJ])
        recent_TZJ[t % (lead + 1)] = np.maximum(onward_ZJ, begin_Z1)
        resumed_T[t] = rested
    last = int(best_T.argmax()) if n_frames else 0
    if not n_frames or best_T[last] <= 0.0:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    return _trace_path(last, best_state_T, came_TZJ, resumed_T, pulse)


def _trace_path(
    t: int, best_state_T: np.ndarray, came_TZJ: np.ndarray, resumed_T: np.ndarray, pulse: Pulse
) -> tuple[np.ndarray, np.ndarray]:
    """The path that ends with a beat at t: its frames and places in the bar, from the tables of `best_path`."""
    starts = np.flatnonzero(pulse.is_first_Z)
    frames, places = [], []
    while t >= 0:
        place, gap = divmod(int(best_state_T[t]), len(pulse.gaps_J))
        while gap != BEGINS:
            frames.append(t)
            places.append(place)
            t -= int(pulse.frames_ZJ[place, gap])
            place = int(pulse.before_Z[place])
            gap = int(came_TZJ[t, place, gap])
        frames.append(t)
        places.append(place)
        t = int(resumed_T[t])
    first = starts[np.searchsorted(starts, places, side="right") - 1]
    return np.array(frames[::-1]), (np.array(places) - first + 1)[::-1]


def beat_gains(probability_T: np.ndarray, floor: float) -> np.ndarray:
    """Log odds that a beat at each frame adds to a path (T,).

    A beat is expected to raise the probabilities of both neighbours too, so that these do not count against it.
    """
    p_T = np.clip(probability_T, floor, 1.0 - floor)
    silent_T = np.pad(np.log1p(-p_T), 1)
    return np.log(p_T) - silent_T[:-2] - silent_T[1:-1] - silent_T[2:]


def refine_frames(frames: np.ndarray, probability_T: np.ndarray) -> np.ndarray:
    """Places of beats between frames (n,): the centre of the probability around each, its highest neighbour first."""
    padded = np.pad(probability_T.astype(np.float64), 2)
    around = np.stack([padded[frames + 1], padded[frames + 2], padded[frames + 3]])
    frames = frames + around.argmax(axis=0) - 1
    low, mid, high = padded[frames + 1], padded[frames + 2], padded[frames + 3]
    shift = np.clip((high - low) / np.maximum(low + mid + high, 1e-6), -0.5, 0.5)
    at_an_end = (frames <= 0) | (frames >= len(probability_T) - 1)  # one neighbour is not heard: no centre is known
    return frames + np.where(at_an_end, 0.0, shift)


def bar_numbers(probability_N: np.ndarray, search: Search) -> np.ndarray:
    """The number of each beat in its bar (N,), 1 for a downbeat, from the probability that it is one."""
    p_N = np.clip(probability_N, search.floor, 1.0 - search.floor)
    states = [(length, place) for length, _ in search.bar_costs for place in range(length)]
    costs = dict(search.bar_costs)
    firsts = np.array([place == 0 for _, place in states])
    cost_ZZ = np.full((len(states), len(states)), np.inf)
    for one, (length, place) in enumerate(states):
        for two, (next_length, next_place) in enumerate(states):
            if next_length == length and next_place == (place + 1) % length:
                cost_ZZ[one, two] = costs[next_length] if next_place == 0 else 0.0
            elif next_place == 0:
                cost_ZZ[one, two] = search.bar_change_cost + costs[next_length]
    scores_Z = np.array([-costs[length] for length, _ in states])
    came_NZ = np.zeros((len(p_N), len(states)), dtype=int)
    for number, p in enumerate(p_N):
        if number:
            options_ZZ = scores_Z[:, None] - cost_ZZ
            came_NZ[number] = options_ZZ.argmax(axis=0)
            scores_Z = options_ZZ.max(axis=0)
        scores_Z = scores_Z + np.where(firsts, np.log(p), np.log1p(-p))
    state, numbers = int(scores_Z.argmax()) if len(p_N) else 0, []
    for number in range(len(p_N) - 1, -1, -1):
        numbers.append(states[state][1] + 1)
        state = int(came_NZ[number, state])
    return np.array(numbers[::-1], dtype=int)
