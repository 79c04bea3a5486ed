"""Experiments and their conditions, read from YAML recipes.

An experiment is a YAML file (`vampnet/evaluation/experiments/recipes/`, linked as `recipes/evaluation/`):

    name: steps
    title: Sampling steps
    view: steps                       # how the report draws it: one of VIEWS
    about: What is asked, in a sentence or two.
    sampling: {c2f_steps: 8}          # for all conditions
    conditions:
      - name: steps-{steps}           # {x} is replaced by the value of x
        prompt: periodic(16)
        vary: {steps: [1, 4, 8]}      # one condition per combination of values

What `vary` names is a setting of the condition, a setting of `SamplingConfig`, or a placeholder in its name and prompt.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vampnet.config import check, from_dict
from vampnet.errors import PromptError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.prompts.grammar import parse_prompt
from vampnet.prompts.parts import Codebooks, Intersection, Periodic, Prompt
from vampnet.storage import MAX_YAML_BYTES, cause, parse_yaml, read_bytes

KINDS = ("vamp", "codec", "noise", "opus")
VIEWS = ("steps", "prompts", "rates", "sampler")
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Condition:
    """One way of making an output from an excerpt."""

    name: str = ""
    """Unique in its experiment; lower-case letters, digits, dots and hyphens."""
    kind: str = "vamp"
    """"vamp" (keep what the prompt says, generate the rest), "codec" (encode and decode), "noise" (replace tokens by
    uniformly drawn ones) or "opus"."""
    prompt: str = "nothing"
    """Kind vamp: what is kept, as text."""
    n_kept: int = 0
    """Kind vamp: of what the prompt keeps, only so many of the coarsest codebooks (the paper's N_k); 0: as many as the
    coarse model has, so that fine tokens are always generated; 64: all."""
    noise_share: float = 0.0
    """Kind noise: share of the tokens of all codebooks that are replaced, 0 to 1."""
    opus_kbps: float = 0.0
    """Kind opus: kbit/s asked for, 6 to 256."""
    variations: int = 1
    """Kind vamp: outputs per excerpt, with seeds of their own; from 2 on their diversity is measured. 1 to 16."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Kind vamp: how tokens are drawn; the seed is that of the first excerpt."""

    def __post_init__(self) -> None:
        where = f"condition {self.name!r}"
        if not self.name or not all(c.isascii() and (c.islower() or c.isdigit() or c in ".-") for c in self.name):
            raise SettingsError(f"{where}: a name consists of lower-case letters, digits, dots and hyphens")
        if self.kind not in KINDS:
            raise SettingsError(f"{where}: kind is {self.kind!r}, but must be one of {', '.join(KINDS)}")
        check(f"{where}: n_kept", self.n_kept, 0, 64)
        check(f"{where}: noise_share", self.noise_share, 0.0, 1.0)
        check(f"{where}: variations", self.variations, 1, 16)
        if self.kind == "opus":
            check(f"{where}: opus_kbps", self.opus_kbps, 6.0, 256.0)
        if self.kind != "vamp" and (self.prompt != "nothing" or self.n_kept or self.variations > 1):
            raise SettingsError(f"{where}: prompt, n_kept and variations have no effect with kind {self.kind}")
        try:
            parse_prompt(self.prompt)
        except PromptError as error:
            raise SettingsError(f"{where}: {error}") from None

    def full_prompt(self, n_coarse: int) -> Prompt:
        """The prompt together with the limit of codebooks; `n_coarse` is the number that the coarse model has."""
        return Intersection((parse_prompt(self.prompt), Codebooks(self.n_kept or n_coarse)))

    @property
    def passes(self) -> int:
        """Passes of the networks, a measure of what it costs."""
        return self.variations * (self.sampling.steps + self.sampling.c2f_steps) if self.kind == "vamp" else 0


@dataclass(frozen=True)
class Experiment:
    """Conditions that are compared with each other."""

    name: str
    title: str
    view: str
    """Kind of plot in the report, one of VIEWS."""
    about: str
    """Question of the experiment, in a sentence or two."""
    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise SettingsError(f"{self.name}: view is {self.view!r}, but must be one of {', '.join(VIEWS)}")
        names = [c.name for c in self.conditions]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice or not names:
            raise SettingsError(f"{self.name}: {f'condition {twice[0]!r} stands twice' if twice else 'no conditions'}")
        alone = [c.name for c in self.conditions if c.variations < 2]
        if self.view == "sampler" and alone:  # known before the work, not when the report is drawn
            raise SettingsError(
                f"{self.name}: the view sampler compares diversity, which condition {alone[0]!r} has none of; "
                "give it variations: 2 or more, or take another view"
            )


@dataclass(frozen=True)
class BitRates:
    """Bit rates of a prompt that keeps N_k codebooks of every P-th frame, bits per second."""

    paper: float
    """B / (P (N - N_k)): the paper's labels, B being the codec's rate. NaN for N_k = N."""
    kept: float
    """frames/s * N_k * bits per token / P: what the kept tokens really hold."""


def bit_rates(frames_per_s: float, n_codebooks: int, codebook_size: int, n_kept: int, period: int) -> BitRates:
    """Both rates of a periodic, compressed prompt; `n_codebooks` is the codec's N, `n_kept` the prompt's N_k."""
    bits = math.log2(codebook_size)
    full = frames_per_s * n_codebooks * bits
    paper = full / (period * (n_codebooks - n_kept)) if n_kept < n_codebooks else math.nan
    return BitRates(paper, frames_per_s * n_kept * bits / period)


def period_of(condition: Condition) -> int | None:
    """P of a condition whose prompt is periodic and nothing else; 1 for one that keeps every frame."""
    if condition.kind != "vamp":
        return None
    prompt = parse_prompt(condition.prompt)
    if str(prompt) == "everything":
        return 1
    return prompt.period if isinstance(prompt, Periodic) and prompt.period and prompt.width == 1 else None


def list_shipped() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def find_experiment(name: str) -> Experiment:
    """An experiment that comes with the package, or a YAML file. Raises SettingsError for anything wrong with it."""
    path = RECIPES / f"{name}.yaml" if name in list_shipped() else Path(name)
    try:
        data = parse_yaml(read_bytes(path, SettingsError, MAX_YAML_BYTES))
    except SettingsError:
        if path.exists():
            raise
        known = ", ".join(list_shipped())
        raise SettingsError(f"{name}: no such experiment; give a YAML file or one of {known}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid YAML ({cause(error)})") from None
    return parse_experiment(data, str(path))


def parse_experiment(data: Any, where: str) -> Experiment:
    """Experiment from plain data; unknown keys are errors."""
    known = ("name", "title", "view", "about", "sampling", "conditions")
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected settings, found {type(data).__name__}")
    unknown, missing = set(data) - set(known), {"name", "title", "view", "conditions"} - set(data)
    if unknown or missing:
        what = f"unknown setting {min(map(str, unknown))}" if unknown else f"missing setting {min(missing)}"
        raise SettingsError(f"{where}: {what}; known: {', '.join(known)}")
    if not isinstance(data["conditions"], list):
        raise SettingsError(f"{where}: conditions must be a list")
    shared = from_dict(SamplingConfig, data.get("sampling", {}), f"{where}: sampling")
    made = [c for entry in data["conditions"] for c in _expand(entry, shared, where)]
    texts = [str(data.get(key, "")).strip() for key in ("name", "title", "view", "about")]
    return Experiment(texts[0], texts[1], texts[2], texts[3], tuple(made))


def condition_to_dict(condition: Condition) -> dict[str, Any]:
    """Plain data of all that decides a condition's output, apart from model and excerpts."""
    data = dataclasses.asdict(condition)
    del data["name"]
    if condition.kind != "vamp":
        del data["sampling"]
    return data


def _expand(entry: Any, shared: SamplingConfig, where: str) -> Iterator[Condition]:
    """The conditions of one entry of a recipe, one for each combination of the values under `vary`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise SettingsError(f"{where}: each condition needs a name")
    vary = entry.get("vary", {})
    if not isinstance(vary, dict) or not all(isinstance(v, list) and v for v in vary.values()):
        raise SettingsError(f"{where}: {entry['name']}: vary must map names to lists of values")
    for values in itertools.product(*vary.values()):
        yield _condition(entry, dict(zip(vary, values, strict=True)), shared, f"{where}: {entry['name']}")


def _condition(entry: Mapping[str, Any], values: Mapping[str, Any], shared: SamplingConfig, where: str) -> Condition:
    data = {key: value for key, value in entry.items() if key not in ("vary", "sampling")}
    own = entry.get("sampling", {})
    if not isinstance(own, dict):
        raise SettingsError(f"{where}: sampling must be settings")
    sampling = {**dataclasses.asdict(shared), **own}
    texts = f"{data.get('name')}{data.get('prompt', '')}"
    for key, value in values.items():
        if key in dataclasses.asdict(shared):
            sampling[key] = value
        elif key in {f.name for f in dataclasses.fields(Condition)}:
            data[key] = value
        elif f"{{{key}}}" not in texts:
            raise SettingsError(f"{where}: vary names {key!r}, which is no setting and not in name or prompt")
    try:
        data |= {key: data[key].format(**values) for key in ("name", "prompt") if isinstance(data.get(key), str)}
    except (KeyError, IndexError, ValueError) as error:
        raise SettingsError(f"{where}: cannot fill in {error}; vary gives {', '.join(values) or 'nothing'}") from None
    data["sampling"] = from_dict(SamplingConfig, sampling, f"{where}: sampling")
    return from_dict(Condition, data, where)
