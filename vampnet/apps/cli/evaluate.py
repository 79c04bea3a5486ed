"""`vampnet evaluate`: the paper's experiments on a model and a folder of music."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from vampnet.apps.cli.engine import open_engine
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import Interrupted, SettingsError

if TYPE_CHECKING:
    from vampnet.evaluation.experiments.evaluate import Evaluation
    from vampnet.evaluation.experiments.experiment import Experiment

PAPER_EXPERIMENTS = "steps,prompts,rates"
MAX_EXCERPTS = 2000


def evaluate_options(parser: CommandParser) -> None:
    """Flags of `vampnet evaluate`."""
    parser.add_argument("bundle", type=str, help="model: 'default', a folder, or OWNER/NAME")
    parser.add_argument("--audio", type=str, default=None, help="folder of music that the model was not trained on")
    parser.add_argument("-o", "--output", type=str, default="evaluation", help="folder for report and cache; resumed")
    parser.add_argument(
        "--experiments",
        type=str,
        default=PAPER_EXPERIMENTS,
        help="names (steps, prompts, rates, periods, defaults, presets, sampler) or YAML files, commas between",
    )
    parser.add_argument(
        "--excerpts", type=int, default=None, help=f"how many; none given: all there are, {MAX_EXCERPTS} at most"
    )
    parser.add_argument("--excerpt-s", type=float, default=10.0, help="length of an excerpt, seconds, 1 to 60")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of excerpts and of the sampling")
    parser.add_argument(
        "--training",
        type=str,
        default=None,
        help="what the model was trained on: folder, index.jsonl, or text file of SHA-256 or names; nothing of it may "
        "be in --audio",
    )
    parser.add_argument(
        "--embedding",
        action="append",
        default=None,
        help="mel, codec, hidden[:LAYER], ...; repeatable, verdicts rest on the first (default: mel and codec)",
    )
    parser.add_argument("--lora", action="append", default=None, metavar="FILE[:STRENGTH]", help="adapter; repeatable")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--backend",
        type=str,
        default="torch",
        help="what runs the networks: torch, or openvino (extra), faster on CPUs",
    )
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one per core, one on a GPU")
    parser.add_argument(
        "--engine",
        type=str,
        default="here",
        help="here; Ray: ray, ray://HOST:10001, ray:HOST:6379, with --workers actors; ranks: those of torchrun",
    )
    parser.add_argument("--batch", type=int, default=8, help="excerpts that are generated together, 1 to 256")
    parser.add_argument("--examples", type=int, default=2, help="excerpts to listen to in the report, 0 to 20")
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="begin nothing after so many minutes and report on the excerpts that every condition was run on by then",
    )
    parser.add_argument("--list", action="store_true", help="list what would be run and leave")


def run_evaluate(options: CommandOptions) -> None:
    """`vampnet evaluate`: run what is not there yet, then write the report."""
    from vampnet.evaluation.experiments.config import EvaluationConfig
    from vampnet.evaluation.experiments.evaluate import evaluate, open_experiments

    experiments = open_experiments([name.strip() for name in options.experiments.split(",") if name.strip()])
    if options.list:
        _list(experiments)
        return
    if options.audio is None:
        raise SettingsError("--audio is missing; name a folder of music that the model was not trained on")
    engine = None if options.engine == "here" else open_engine(options.engine, options.workers or None)
    settings = EvaluationConfig(
        options.bundle,
        options.output,
        lora=tuple(options.lora or ()),
        embeddings=tuple(options.embedding or EvaluationConfig.embeddings),
        device=options.device,
        backend=options.backend,
        workers=options.workers,
        batch=options.batch,
        examples=options.examples,
        seed=options.seed,
        minutes=options.minutes,
    )
    with _Bars() as bars:
        try:
            evaluation = evaluate(
                options.audio,
                settings,
                experiments=experiments,
                n_excerpts=options.excerpts,
                excerpt_s=options.excerpt_s,
                training=options.training,
                command=shlex.join(["vampnet", *sys.argv[1:]]),
                progress=bars.update,
                spread=None if engine is None else engine.run,
            )
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; what was done is in {options.output}, the same command goes on") from None
    _print(evaluation)


class _Bars:
    """One line on stderr for each stage in turn, with the time left."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if stage != self._stage or self._bar is None:
            self.__exit__()
            layout = "{desc:<9} {percentage:3.0f}%|{bar:30}| {elapsed} left {remaining}"
            self._bar, self._stage = tqdm(total=total, desc=stage, bar_format=layout, smoothing=0.05), stage
        self._bar.update(done - self._bar.n)


def _print(evaluation: Evaluation) -> None:
    """Verdicts and choices to stdout, conditions that were not run to stderr."""
    data = evaluation.data
    for finding in data["findings"][0]:
        print(f"{finding['number']}. {finding['statement']} {finding['verdict'].upper()}")
    for experiment in data["experiments"]:
        for embedding, choice in zip(data["embeddings"], experiment.get("choice", ()), strict=False):
            print(f"{experiment['name']}, {embedding['id']}: {choice['name']}: {choice['reason']}")
    for name, why in evaluation.run.missing.items():
        print(f"not run: {name}: {why}", file=sys.stderr)
    print("wrote " + ", ".join(str(path) for path in evaluation.paths))


def _list(experiments: list[Experiment]) -> None:
    from vampnet.evaluation.experiments.runner import condition_key

    seen: set[str] = set()
    for experiment in experiments:
        print(f"{experiment.name}: {experiment.title}. {experiment.about}")
        for condition in experiment.conditions:
            key = condition_key(condition)
            again = " (shared)" if key in seen else ""
            what = condition.prompt if condition.kind == "vamp" else condition.kind
            print(f"  {condition.name:<24}{what:<28}{condition.passes:>4} passes{again}")
            seen.add(key)
