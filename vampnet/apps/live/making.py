"""Making variations: from a looper's request to new samples, here or on the virtual clock of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vampnet.apps.live.looper import MadeVariation, VariationRequest
from vampnet.apps.live.takes import Recipe
from vampnet.audio.samples import Audio, Samples
from vampnet.beats.events import Events
from vampnet.errors import VampnetError
from vampnet.prompts.grammar import as_prompt

if TYPE_CHECKING:
    from vampnet.generation.pipeline import Pipeline


@dataclass(frozen=True)
class MakerStatus:
    """State of a maker."""

    state: str
    """loading, ready, working, restarting or failed."""
    text: str = ""
    """Last error in words; empty when there is none."""
    share: float = 0.0
    """Share of the variation at work that is done."""
    left_s: float | None = None
    """Seconds until it is there, at the speed so far; None where that is not known."""


class Maker(Protocol):
    """Maker of variations beside the music. A new request replaces the one before."""

    def submit(self, request: VariationRequest) -> None:
        """Begin to make a variation."""
        ...

    def cancel(self) -> None:
        """Stop what is at work."""
        ...

    def poll(self, output: int) -> MadeVariation | Failure | None:
        """Result of the request, given once; `output`: output sample that is rendered next."""
        ...

    def status(self) -> MakerStatus:
        """State of the maker."""
        ...

    def close(self) -> None:
        """End."""
        ...


@dataclass(frozen=True)
class Failure:
    """A request that came to nothing."""

    number: int
    text: str
    is_final: bool
    """True where the same request would fail again, because of what it asks for."""


def make_variation(
    model: Pipeline,
    samples: Samples,
    sample_rate_hz: int,
    recipe: Recipe,
    *,
    beats: Events | None = None,
    codes: NDArray[np.int32] | None = None,
    seam: NDArray[np.int32] | None = None,
    report: Callable[[Any], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Samples, NDArray[np.int32], NDArray[np.bool_]]:
    """Samples, tokens and keep mask of a variation of a turn. Raises VampnetError, Cancelled."""
    import torch

    from vampnet.generation.run import run_all
    from vampnet.tasks.loop import loop
    from vampnet.tasks.task import Workspace

    known, shared = (None if tokens is None else torch.from_numpy(tokens) for tokens in (codes, seam))
    with Workspace(model, recipe.sampling, report=report, cancelled=cancelled) as space:
        run = loop(
            space,
            Audio(samples, sample_rate_hz),
            (1,),
            as_prompt(recipe.prompt),
            beats,
            codes_NCT=known,
            seam_NCT=shared,
        )
        made = run_all([run], model.fill)[0][0]
        assert made.codes_NCT is not None
        return made.audio.samples, made.codes_NCT.numpy(), made.keep_CT.numpy()


class ModelMaker:
    """Answers requests with a model of this process, at once; the model is loaded with the first one."""

    def __init__(self, load: Callable[[], Pipeline]) -> None:
        self._load = load
        self._model: Pipeline | None = None

    def __call__(self, request: VariationRequest) -> MadeVariation:
        """The variation that a request asks for."""
        self._model = self._model or self._load()
        source = request.source
        samples, codes, kept = make_variation(
            self._model,
            source.samples,
            request.sample_rate_hz,
            request.recipe,
            beats=request.beats,
            codes=source.codes,
            seam=request.seam,
        )
        return MadeVariation(request.number, samples, codes, kept)

    @property
    def model_id(self) -> str:
        """Id of the model; loads it."""
        self._model = self._model or self._load()
        return self._model.id


class SimulatedMaker:
    """A maker on the virtual clock: each variation takes a given number of output samples, whatever it really takes."""

    def __init__(
        self, make: Callable[[VariationRequest], MadeVariation], takes: Callable[[VariationRequest], int | None]
    ) -> None:
        """`make`: gives the variation when its time has come; `takes`: output samples until then, None for never."""
        self._make, self._takes = make, takes
        self._request: VariationRequest | None = None
        self._due: int | None = None
        self._now = self._began = 0

    def submit(self, request: VariationRequest) -> None:
        """Begin to make a variation."""
        takes = self._takes(request)
        self._request, self._began = request, self._now
        self._due = None if takes is None else self._now + takes

    def cancel(self) -> None:
        """Stop what is at work."""
        self._request = self._due = None

    def poll(self, output: int) -> MadeVariation | Failure | None:
        """The variation, when its time has come."""
        self._now = output
        request = self._request
        if request is None or self._due is None or output < self._due:
            return None
        self.cancel()
        try:
            return self._make(request)
        except VampnetError as error:
            return Failure(request.number, str(error).splitlines()[0], True)

    def status(self) -> MakerStatus:
        """Progress on the virtual clock."""
        if self._request is None:
            return MakerStatus("ready")
        if self._due is None:
            return MakerStatus("working")
        share = (self._now - self._began) / max(self._due - self._began, 1)
        left_s = (self._due - self._now) / self._request.sample_rate_hz
        return MakerStatus("working", share=min(share, 1.0), left_s=left_s)

    def close(self) -> None:
        """Nothing is left to be ended."""
