"""Training of one network within a share of the budget: how many steps fit, then those steps, resumable to the bit."""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from vampnet.device import select_device
from vampnet.making.clock import WorkState
from vampnet.models.transformer import MaskedTransformer
from vampnet.training.data.token_dataset import TokenSet
from vampnet.training.masked_objective import MaskedObjective
from vampnet.training.recipe import MaskedRecipe, TrainerConfig, recipe_to_dict
from vampnet.training.trainer import Trainer
from vampnet.training.validation import MONITOR, Change, HeldOutObjective, file_nats, subset

LOOKS = 8
"""Number of validations during a training, besides the one before its first step."""
JUDGED_FILES, JUDGED_CROPS = 24, 24
"""Most held-out files and crops at each of these looks; the report takes more."""
REPORTED_FILES = 200
FALL = 0.6
"""Share of the steps over which the learning rate falls to 0."""
TIMED_STEPS = 4
MARGIN = 1.15
"""Steps are taken to last so many times what was measured: machines do other things too."""

Say = Callable[[str], None]
Example = Callable[[str, MaskedTransformer, int], tuple[Tensor, int] | None]
"""Makes an audio example with a network of part `name` at a step: samples (S,), rate in Hz; None for none."""


@dataclass(frozen=True)
class PartData:
    """Tokens that one network is trained and judged on."""

    train: TokenSet
    held_out: TokenSet

    def judged(self) -> TokenSet:
        """A spread of the held-out files for the looks during training."""
        return spread(self.held_out, JUDGED_FILES)


@dataclass(frozen=True)
class TrainedPart:
    """A network that was trained."""

    model: MaskedTransformer
    steps: int
    """Steps that were taken."""
    best_step: int
    """The step whose weights are kept; 0 where nothing was gained."""
    curve: tuple[tuple[int, float], ...]
    """Step and cross-entropy of the judged held-out files, nats."""
    train_nats: float
    """Cross-entropy of as much music that was trained on, nats."""


def spread(tokens: TokenSet, most: int) -> TokenSet:
    """At most `most` pieces, evenly spread."""
    n_pieces = len(tokens.pieces)
    if n_pieces <= most:
        return tokens
    return subset(tokens, sorted({int(k) for k in np.linspace(0, n_pieces - 1, most)}))


class PartTraining:
    """The training of one network in a folder."""

    def __init__(
        self, part: str, model: MaskedTransformer, recipe: MaskedRecipe, data: PartData, folder: Path, device: str
    ) -> None:
        self.part, self.recipe, self.data, self.folder = part, recipe, data, folder
        self._model, self._device = model, device

    def time_step(self) -> tuple[float, float]:
        """Seconds that a step and a look at the held-out files take, measured on weights that are thrown away."""
        folder = self.folder.with_name(f"{self.folder.name}-timed")
        shutil.rmtree(folder, ignore_errors=True)
        loop = dataclasses.replace(self.recipe.loop, steps=TIMED_STEPS, log_every=1, validate_every=10**9)
        rates: list[float] = []
        run = self._trainer(copy.deepcopy(self._model), dataclasses.replace(self.recipe, loop=loop), folder)
        run.monitor = ""
        run.on_log = lambda line: rates.append(line.get("steps_per_s", math.inf))
        before = run.elapsed_s
        run.train()
        shutil.rmtree(folder, ignore_errors=True)
        steps_s = [1 / rate for rate in rates if math.isfinite(rate)]
        step_s = float(np.median(steps_s[1:] or steps_s))
        look_s = max(run._since_begun() - before - sum(steps_s), 0.0)
        return step_s, look_s

    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self._model.parameters())

    def checkpoint_bytes(self) -> int:
        """Disk that the run takes: weights, their average, the best ones, the optimiser's state."""
        return 4 * 5 * self.n_parameters()

    def steps_within(self, seconds: float, step_s: float, look_s: float) -> int:
        """Steps that fit into a time, looks at the held-out files counted."""
        return max(int((seconds / MARGIN - (LOOKS + 1) * look_s) / step_s), 0)

    def train(self, steps: int, state: WorkState, stop_at_s: float, say: Say, example: Example | None) -> TrainedPart:
        """Take `steps` steps, or those that end before `stop_at_s` of the budget is spent; go on with what is there."""
        loop = self._planned(steps)
        recipe = dataclasses.replace(self.recipe, loop=loop)
        model = copy.deepcopy(self._model)
        run = self._trainer(model, recipe, self.folder, example)
        run.stop_after_s = max(stop_at_s - state.spent_s, 0.0)
        curve = [(int(step), float(nats)) for step, nats in state.get(f"curve_{self.part}", [])]

        def hear(line: dict[str, float]) -> None:
            state.tick()
            if f"validation/{MONITOR}" in line:
                curve.append((int(line["step"]), line[f"validation/{MONITOR}"]))
                state[f"curve_{self.part}"] = curve
            say(_in_words(self.part, line, steps))

        run.on_log = hear
        if steps > 0:
            run.train()
        best = run.best[1] if run.best is not None else 0
        kept = copy.deepcopy(self._model)
        if best:
            kept.load_state_dict(run.best_weights())
        kept.eval()
        seen = spread(self.data.train, len(self.data.judged().pieces))
        nats = file_nats(kept.to(select_device(self._device)), seen, recipe.crop_frames, JUDGED_CROPS)
        looked = tuple(sorted(dict(curve).items()))
        return TrainedPart(kept, run.step, best, looked, float(np.mean(nats)))

    def _planned(self, steps: int) -> TrainerConfig:
        return dataclasses.replace(
            self.recipe.loop,
            steps=max(steps, 1),
            decay_steps=max(int(FALL * steps), 1),
            warmup_steps=min(self.recipe.loop.warmup_steps, max(steps // 5, 1)),
            validate_every=max(-(-steps // LOOKS), 1),
            checkpoint_every=min(max(steps // 20, 1), 25),
        )

    def _trainer(
        self, model: MaskedTransformer, recipe: MaskedRecipe, folder: Path, example: Example | None = None
    ) -> Trainer:
        model.to(select_device(self._device))
        task = _ExampleObjective(self.part, model, recipe, self.data, example)
        monitor = f"validation/{MONITOR}"
        return Trainer(task, recipe.loop, folder, recipe_to_dict(recipe), self._device, monitor=monitor)


class _ExampleObjective(HeldOutObjective):
    """The objective, with an example to listen to at every look."""

    def __init__(
        self, part: str, model: MaskedTransformer, recipe: MaskedRecipe, data: PartData, example: Example | None
    ) -> None:
        super().__init__(model, recipe, data.train, data.judged(), JUDGED_CROPS)
        self._part, self._example, self._step = part, example, 0

    def begin_step(self, step: int) -> bool:
        self._step = step + 1
        return super().begin_step(step)

    def audio(self, module: nn.Module) -> dict[str, tuple[Tensor, int]]:
        assert isinstance(module, MaskedTransformer)
        made = self._example(self._part, module, self._step) if self._example is not None else None
        return {} if made is None else {f"example/{self._part}": made}


def _in_words(part: str, line: dict[str, float], steps: int) -> str:
    where = f"{part}: step {int(line['step'])} of {steps}"
    if f"validation/{MONITOR}" in line:
        return f"{where}, held-out cross-entropy {line[f'validation/{MONITOR}']:.3f} nats"
    left_s = (steps - line["step"]) / max(line["steps_per_s"], 1e-9)
    return f"{where}, training loss {line['loss']:.3f}, {format_time(left_s)} left"


def format_time(seconds: float) -> str:
    """A length of time for people: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def new_model(recipe: MaskedRecipe, data: PartData, codebooks: Tensor) -> MaskedTransformer:
    """A network from random weights, as its recipe begins it."""
    return MaskedObjective(recipe, data.train, data.held_out, codebooks).module


def compare_nats(
    before: MaskedTransformer | None, after: MaskedTransformer, held_out: TokenSet, crop_frames: int
) -> tuple[Change | None, list[float]]:
    """Cross-entropy per held-out file: the change from another network's (None without one), and the new figures."""
    files = spread(held_out, REPORTED_FILES)
    new = file_nats(after, files, crop_frames)
    if before is None:
        return None, new
    old = file_nats(before.to(next(after.parameters()).device), files, crop_frames)
    return Change(files.names, tuple(old), tuple(new)), new
