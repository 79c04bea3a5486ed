"""`vampnet distance`: files or folders of audio compared."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import SettingsError

if TYPE_CHECKING:
    from vampnet.evaluation.compare import FolderComparison


def distance_options(parser: CommandParser) -> None:
    """Flags of `vampnet distance`."""
    parser.add_argument("reference", type=str, help="folder of reference audio, or one file")
    parser.add_argument("evaluated", type=str, help="folder of audio to judge, or one file")
    parser.add_argument(
        "--metric",
        action="append",
        default=None,
        metavar="NAME",
        help="repeatable; of sets: fad, kad; of pairs (files of the same name): mel, stft, visqol, si-sdr, waveform, "
        "loudness, beats, tempo, chroma, key, ...; `vampnet guide metrics` explains all (default: mel and fad)",
    )
    parser.add_argument(
        "--embedding",
        type=str,
        default="mel",
        help="what fad and kad compare: mel, codec, hidden[:LAYER], transformers:FOLDER_OR_ID[@LAYER], vggish:FILE",
    )
    parser.add_argument("--bundle", type=str, default="default", help="model of codec, hidden and the token metrics")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--rate", type=int, default=44100, help="sample rate at which pairs are compared, Hz")
    parser.add_argument("--lufs", type=float, default=None, help="bring both files of a pair to this loudness first")
    parser.add_argument("--excerpt-s", type=float, default=10.0, help="length of the excerpts of sets, seconds")
    parser.add_argument("--kernel", type=str, default="rbf", help="of kad: rbf or polynomial")
    parser.add_argument("--seed", type=int, default=0, help="seed of the resampling behind the intervals")
    parser.add_argument("--csv", type=str, default=None, help="write the values of each pair to this file")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run_distance(options: CommandOptions) -> None:
    """`vampnet distance`: how far a folder of audio is from another."""
    from vampnet.evaluation.compare import CompareConfig, compare, to_json, write_csv

    settings = CompareConfig(
        metrics=tuple(options.metric or ("mel", "fad")),
        embedding=options.embedding,
        bundle=options.bundle,
        device=options.device,
        rate_hz=options.rate,
        lufs=options.lufs,
        excerpt_s=options.excerpt_s,
        kernel=options.kernel,
        seed=options.seed,
    )
    if options.csv and not settings.has_pairs:
        raise SettingsError("--csv holds the values of pairs, but fad and kad have none; add --metric mel or another")
    with CountBar() as bar:
        found = compare(options.reference, options.evaluated, settings, bar.update)
    if options.csv:
        write_csv(options.csv, found)
    for line in (*found.unreadable, *found.warnings):
        print(f"vampnet: warning: {line}", file=sys.stderr)
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    else:
        _print(found)


class CountBar:
    """One line on stderr that counts files, a bar per thing that is being done."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""

    def __enter__(self) -> CountBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` files are done; a new `what` starts a new bar."""
        from tqdm import tqdm

        if what != self._what:
            self.__exit__()
            self._bar, self._what = tqdm(total=total, desc=what, unit="file", leave=False, disable=None), what
        self._bar.update(done - self._bar.n)


def _print(found: FolderComparison) -> None:
    if found.rows:
        print("1 pair" if len(found.rows) == 1 else f"{len(found.rows)} pairs")
    for name, interval in found.summary.items():
        undefined = f", undefined for {interval.n_undefined}" if interval.n_undefined else ""
        print(f"  {name:<19} {interval} {found.units[name]}{undefined}")
    for side, names in (("reference", found.only_reference), ("evaluated", found.only_evaluated)):
        if names:
            print(f"only in the {side} folder: {_some(names)}")
    for about in (found.reference_set, found.evaluated_set):
        if about is not None:
            said: dict[str, Any] = about.describe()
            print(f"{said['name']}: {said['excerpts']} excerpts, {said['vectors']} vectors, {said['duration_s']:.1f} s")
    if found.reference_set is not None:
        print(f"embedding {found.reference_set.embedding}, {found.reference_set.moments.total().dim} dimensions")
    if found.frechet is not None:
        print(f"  fad                 {found.frechet.interval}")
        if found.frechet.infinite is not None:
            infinite = found.frechet.infinite
            spread = f"+- {infinite.standard_error:.2g} of the fit, R^2 {infinite.r_squared:.2f}"
            print(f"  fad, infinite N     {infinite.value:.4g} {spread}")
    if found.kernel is not None:
        width = "" if found.kernel.kernel == "polynomial" else f", bandwidth {found.kernel.bandwidth:.4g}"
        print(
            f"  kad                 {found.kernel.interval} (standard error {found.kernel.standard_error:.2g}{width})"
        )


def _some(names: tuple[str, ...], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
