"""The training loop that the codec and the masked models share, on Lightning Fabric.

A batch and its masks depend on (seed, step) and on nothing else, dropout on the process as well. So a run that is
killed and resumed takes the same steps as one that is not, and several processes, which share each batch among them,
take the steps of one.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vampnet.device import inference_dtype, select_device
from vampnet.errors import SettingsError, require
from vampnet.seeds import step_seed
from vampnet.storage import cause, guarded, locked, make_folder, whole_file
from vampnet.torch_files import read_checkpoint
from vampnet.training.curves import Curves, mend_log
from vampnet.training.muon import Muon
from vampnet.training.recipe import TrainerConfig
from vampnet.training.share import BatchShare, launched_ranks


class Objective(Protocol):
    """Interface of a training objective: network, loss, validation and state."""

    @property
    def module(self) -> nn.Module:
        """Network that is trained."""
        ...

    def compile(self) -> None:
        """Compile what can be; SettingsError where nothing can."""
        ...

    def begin_step(self, step: int) -> bool:
        """Prepare a step; True when the weights were set anew, so that their average (EMA) must restart."""
        ...

    def loss(self, module: nn.Module, step: int, share: BatchShare) -> dict[str, Tensor]:
        """Scalars of a share of one batch, "loss" among them, which is minimised."""
        ...

    def end_step(self, step: int) -> None:
        """Update what is not trained by gradients, after the optimiser's step."""
        ...

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Metrics on the validation set, with the given weights."""
        ...

    @property
    def work(self) -> dict[str, float]:
        """Work of one step, in units that the log gives per second, such as "tokens"."""
        ...

    def audio(self, module: nn.Module) -> dict[str, tuple[Tensor, int]]:
        """Name -> (samples (S,), rate in Hz) to listen to in TensorBoard."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """State beside the weights, for a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        ...


def learning_rate(settings: TrainerConfig, step: int, elapsed_s: float = 0.0) -> float:
    """Learning rate of a step (0-based) that begins `elapsed_s` after the run did, pauses not counted."""
    warm = min(1.0, (step + 1) / max(settings.warmup_steps, 1))
    if settings.schedule == "noam":
        return settings.learning_rate * min(warm, (max(settings.warmup_steps, 1) / (step + 1)) ** 0.5)
    left = (settings.steps - step) / max(settings.decay_steps, 1)
    if settings.seconds:  # the fall takes the same share of the time as of the steps
        left = max(1 - elapsed_s / settings.seconds, 0.0) * settings.steps / max(settings.decay_steps, 1)
    return settings.learning_rate * min(warm, left)


def optimizers_for(module: nn.Module, settings: TrainerConfig) -> list[torch.optim.Optimizer]:
    """AdamW with weight decay on the matrices of linear and convolution layers only; or Muon for the hidden ones.

    Muon (Jordan 2024) orthogonalises the momentum of each matrix, which suits those that map activations to
    activations: not embeddings, not the classifier. Its steps are scaled to AdamW's size, so one learning rate serves
    both. A module's `rate_factors`, prefixes of names and factors, make some parameters of AdamW learn slower.
    """
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    embeddings = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    slower: dict[str, float] = getattr(module, "rate_factors", {})
    hidden = []
    if settings.optimizer == "muon":
        hidden = [p for name, p in parameters.items() if p.ndim == 2 and ".layers." in f".{name}"]
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, p in parameters.items():
        if not any(p is h for h in hidden):
            factor = next((factor for prefix, factor in slower.items() if name.startswith(prefix)), 1.0)
            groups.setdefault((p.ndim >= 2 and id(p) not in embeddings, factor), []).append(p)
    adamw = torch.optim.AdamW(
        [
            {"params": own, "weight_decay": settings.weight_decay if decayed else 0.0, "rate_factor": factor}
            for (decayed, factor), own in sorted(groups.items(), key=lambda item: (not item[0][0], -item[0][1]))
        ],
        lr=settings.learning_rate,
        betas=(0.9, settings.beta2),
    )
    if not hidden:
        return [adamw]
    return [adamw, Muon(hidden, settings.learning_rate, settings.weight_decay)]


@dataclasses.dataclass
class Trainer:
    """One training run in a folder: `last.ckpt`, `log.jsonl`, TensorBoard events."""

    task: Objective
    settings: TrainerConfig
    folder: Path
    recipe: dict[str, Any]
    device: str = "auto"
    devices: int = 1
    resume: bool = True
    stop_after_s: float = float("inf")
    """Stop cleanly (with a checkpoint) after this many seconds; resume goes on."""
    monitor: str = ""
    """A validation figure that should fall: it is looked at before the first step too, and the weights of its lowest
    value are kept in `best.ckpt`."""
    patience: int = 0
    """Validations without a lower figure after which training stops (0: never)."""
    on_log: Callable[[dict[str, float]], None] | None = None
    """Takes each line of the log ("step" and figures); without it they are printed as JSON."""
    on_step: Callable[[int], None] | None = None
    """Takes the number of steps done after each of them; what it raises ends the run where it can be resumed."""
    step: int = 0
    elapsed_s: float = 0.0
    """Time in `train` until the last checkpoint, all sessions of the run together."""
    first: float | None = None
    """The monitored figure before the first step."""
    best: tuple[float, int] | None = None
    """Its lowest value, and that value's step."""
    looks_since_best: int = 0

    def __post_init__(self) -> None:
        self.fabric = _fabric(self.settings, self.device, self.devices)
        self.fabric.launch()
        make_folder(self.folder, SettingsError)
        self._begun = time.monotonic()
        self.optimizers = optimizers_for(self.task.module, self.settings)
        self.average = self._new_average()
        self.writer = Curves(self.folder) if self.fabric.is_global_zero else None

    def _new_average(self) -> AveragedModel:
        device = self.fabric.device
        return AveragedModel(
            self.task.module.to(device), multi_avg_fn=get_ema_multi_avg_fn(self.settings.ema_decay), use_buffers=True
        )

    def train(self) -> dict[str, float]:
        """Run to the last step, to the time limit, or until the monitored figure stalls.

        Returns the last validation's figures. Raises SettingsError where another process trains in the folder.
        """
        hold = locked(self.folder, SettingsError, "run folder") if self.fabric.is_global_zero else nullcontext()
        with hold:
            mend_log(self.folder / "log.jsonl")
            return self._train()

    def _train(self) -> dict[str, float]:
        if self.resume and (self.folder / "last.ckpt").exists():
            self._load()
        module, *optimizers = self.fabric.setup(self.task.module, *self.optimizers)
        self._begun, figures = time.monotonic() - self.elapsed_s, {}
        started = time.monotonic()
        if self.settings.compile:
            self.task.compile()
        if self.monitor and self.first is None:
            figures = self.validate()
        window_started, window_step = started, self.step
        while self._goes_on(started):
            scalars = self._one_step(module, optimizers)
            if self.on_step is not None:
                self.on_step(self.step)
            if self.step % self.settings.log_every == 0:
                now = time.monotonic()
                rate = (self.step - window_step) / (now - window_started)
                per_s = {f"{name}_per_s": amount * rate for name, amount in self.task.work.items()}
                self._log({**scalars, "steps_per_s": rate, **per_s, "elapsed_s": self._since_begun()})
                window_started, window_step = now, self.step
            if self.step % self.settings.validate_every == 0:
                figures = self.validate()
                window_started, window_step = time.monotonic(), self.step
            if self.step % self.settings.checkpoint_every == 0:
                self.save()
        if self.step % self.settings.validate_every:
            figures = self.validate()
        self.save()
        return figures

    def _goes_on(self, started: float) -> bool:
        """True if there is another step; all processes hear what the first one says, whose clock counts."""
        more = not self.finished and not self.stalled and time.monotonic() - started < self.stop_after_s
        return self._agreed(more)

    def _agreed(self, value: Any) -> Any:
        return self.fabric.broadcast(value) if self.fabric.world_size > 1 else value

    @property
    def finished(self) -> bool:
        """True if all steps are done, or the recipe's time is over."""
        return self.step >= self.settings.steps or 0 < self.settings.seconds <= self._since_begun()

    def _since_begun(self) -> float:
        return time.monotonic() - self._begun

    @property
    def stalled(self) -> bool:
        """True if the monitored metric has not fallen for `patience` validations."""
        return 0 < self.patience <= self.looks_since_best

    def best_weights(self) -> dict[str, Tensor]:
        """State dict of the averaged weights at the lowest monitored figure."""
        return read_checkpoint(self.folder / "best.ckpt")

    def _look(self, value: float, module: nn.Module) -> None:
        self.first = value if self.first is None else self.first
        self.looks_since_best += 1
        if self.best is None or value < self.best[0]:
            self.best, self.looks_since_best = (value, self.step), 0
            if self.fabric.is_global_zero:
                _save_whole(module.state_dict(), self.folder / "best.ckpt")

    def _one_step(self, module: Any, optimizers: list[Any]) -> dict[str, float]:
        torch.manual_seed(step_seed(self.settings.seed, self.step, self.fabric.global_rank, "weights"))
        if self.task.begin_step(self.step):
            self.average = self._new_average()
        module.train()
        elapsed_s = self._agreed(self._since_begun()) if self.settings.seconds else 0.0
        rate = learning_rate(self.settings, self.step, elapsed_s)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate * group.get("rate_factor", 1.0)
        scalars = self._backward(module)
        norms = [
            self.fabric.clip_gradients(module, o, max_norm=self.settings.grad_clip, error_if_nonfinite=False)
            for o in optimizers
        ]
        norm = torch.stack(norms).norm()
        for optimizer in optimizers:
            if torch.isfinite(norm):  # one bad batch must not poison the weights
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.task.end_step(self.step)
        self.average.update_parameters(self.task.module)
        self.step += 1
        if self.step % self.settings.log_every:
            return {}
        if self.fabric.world_size > 1:
            scalars = {name: self.fabric.all_reduce(value, reduce_op="mean") for name, value in scalars.items()}
        return {
            **{name: float(value) for name, value in scalars.items()},
            "grad_norm": float(norm),
            "rate": rate,
        }

    def _backward(self, module: Any) -> dict[str, Tensor]:
        """Gradients of this process's share of the batch, in `accumulate` passes; the scalars, not yet averaged."""
        fabric, parts, total = self.fabric, self.settings.accumulate, dict[str, Tensor]()
        for part in range(parts):
            share = BatchShare(fabric.global_rank + fabric.world_size * part, fabric.world_size * parts)
            alone = part < parts - 1 and fabric.world_size > 1
            with fabric.no_backward_sync(module, enabled=True) if alone else nullcontext():
                scalars = self.task.loss(module, self.step, share)
                fabric.backward(scalars["loss"] if parts == 1 else scalars["loss"] / parts)
            for name, value in scalars.items():
                value = value.detach() if parts == 1 else value.detach() / parts
                total[name] = total[name] + value if name in total else value
        return total

    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights on validation data."""
        module = self.average.module.eval()
        figures = {f"validation/{name}": value for name, value in self.task.validate(module).items()}
        self._log(figures)
        if self.monitor:
            self._look(figures[self.monitor], module)
        if self.writer is not None:
            for name, (samples, rate_hz) in self.task.audio(module).items():
                self.writer.add_audio(name, samples.unsqueeze(0), self.step, rate_hz)
        return figures

    def _log(self, scalars: dict[str, float]) -> None:
        if self.writer is None:
            return
        line = {"step": self.step, **{name: round(value, 6) for name, value in scalars.items()}}
        with guarded(self.folder / "log.jsonl", SettingsError), open(self.folder / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self.on_log is not None:
            self.on_log(line)
        else:
            print(json.dumps(line), flush=True)
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, self.step)
        self.writer.flush()

    def save(self) -> None:
        """Write `last.ckpt` by way of a temporary name."""
        state = {
            "step": self.step,
            "elapsed_s": self._since_begun(),
            "recipe": self.recipe,
            "model": self.task.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "task": self.task.state_dict(),
            "monitored": (self.first, self.best, self.looks_since_best),
        }
        if self.fabric.is_global_zero:
            _save_whole(state, self.folder / "last.ckpt")
        self.fabric.barrier()

    def _load(self) -> None:
        path = self.folder / "last.ckpt"
        state = read_checkpoint(path)
        try:
            self.task.load_state_dict(state["task"])
            self.task.module.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step, self.elapsed_s = state["step"], state.get("elapsed_s", 0.0)
            self.first, self.best, self.looks_since_best = state.get("monitored", (None, None, 0))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise SettingsError(
                f"{path}: is the checkpoint of another recipe ({cause(error)}); delete the folder to begin again, or "
                "choose another one"
            ) from None
        over = 0 < self.settings.seconds <= self.elapsed_s
        if (over or self.step >= self.settings.steps) and not self.monitor:
            raise SettingsError(
                f"{self.folder}: already trained for {self.step} steps ({self.elapsed_s:.0f} s); ask for more with "
                "--steps (or a recipe with more `seconds`), or another folder"
            )


def _save_whole(state: dict[str, Any], path: Path) -> None:
    with whole_file(path, SettingsError) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # what PyTorch makes of a full disk
            raise SettingsError(
                f"cannot write {str(path)!r}: {cause(error)}; free some disk space, then the same command goes on from "
                "the last checkpoint"
            ) from None


def _fabric(settings: TrainerConfig, device: str, devices: int) -> Any:
    require("lightning_fabric", "training runs")
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces number formats as news
    chosen = select_device(device)
    precision = settings.precision
    if precision == "auto":
        precision = "bf16-mixed" if inference_dtype(chosen) == torch.bfloat16 else "32-true"
    devices, machines = launched_ranks() or (devices, 1)
    if devices * machines * settings.accumulate > settings.batch_size:
        raise SettingsError(
            f"loop.batch_size is {settings.batch_size}, but {devices * machines} processes share each batch in "
            f"{settings.accumulate} passes; make it larger, or take fewer"
        )
    strategy = "ddp" if devices * machines > 1 else "auto"
    chosen_type: Any = chosen.type
    return Fabric(accelerator=chosen_type, devices=devices, num_nodes=machines, precision=precision, strategy=strategy)  # type: ignore[arg-type]
