"""Pages of figures: list them with date and model, or make one again.

    python -m benchmarks.pages                   # all pages, those of another model than the embedded one marked
    python -m benchmarks.pages gallery           # make a page again
    python -m benchmarks.pages codec/quality --rendered corpora/evaluation --audio recordings

A page that needs audio makes it first (out/results/corpus, composed music of the test split) unless folders are given.
What comes after the name of the page goes to the command that makes it, after its own flags. Some commands write the
whole page; others print tables, which replace what stands between the page's two marks, so that its text stays. Either
way the line `Date: ... Model: ... Command: ...` below the title is made anew.
"""

from __future__ import annotations

import datetime
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.pages import HEADER, ROOT, header_of, results

WORK = Path("out/results")
CORPUS = WORK / "corpus"
EVALUATION = WORK / "evaluation"
MARKS = ("<!-- figures -->", "<!-- end of figures -->")
"""Around what a command prints, in a page."""


@dataclass(frozen=True)
class Recipe:
    """How a page is made."""

    command: str
    """Command line, without `python -m`."""
    hours: float = 0.0
    """Hours of composed music that have to be in CORPUS first."""
    before: str = ""
    """Command that comes first."""
    printed: bool = False
    """Whether the command prints what stands between the page's MARKS; else it writes the page itself."""
    codec: bool = False
    """Whether the figures are of the codec alone."""


RECIPES = {
    "gallery": Recipe("benchmarks.pages.gallery"),
    "codec/pictures": Recipe("benchmarks.pages.codec_pictures"),
    "codec/quality": Recipe(
        f"benchmarks.codec.codec_quality --rendered {CORPUS} --excerpts 100 -o docs/results/codec/quality.md",
        1.5,
        codec=True,
    ),
    "codec/speed": Recipe("benchmarks.codec.codec_speed examples/loop.wav -o docs/results/codec/speed.md", codec=True),
    "codec/safety": Recipe(
        f"benchmarks.codec.decoder_safety --audio {CORPUS} --excerpts 4 -o docs/results/codec/safety.md",
        0.1,
        codec=True,
    ),
    "codec/storage": Recipe(
        f"benchmarks.codec.storage --audio {CORPUS} --excerpts 12 -o docs/results/codec/storage.md", 0.2, codec=True
    ),
    "codec/phases": Recipe(
        f"benchmarks.codec.codec_phases {CORPUS} --excerpts 12 -o docs/results/codec/phases.md", 0.2, codec=True
    ),
    "compression": Recipe(f"benchmarks.codec.compression --audio {CORPUS} --excerpts 8 --files 8", 0.2, printed=True),
    "evaluation": Recipe(
        f"benchmarks.pages.evaluation {EVALUATION}",
        1.5,
        f"vampnet evaluate default --audio {CORPUS} -o {EVALUATION} --experiments steps,prompts,rates --excerpts 100",
    ),
    "beats": Recipe(f"benchmarks.evaluation.beats {WORK / 'beats'}", printed=True),
    "long-range": Recipe(f"benchmarks.generation.long_range {CORPUS} --pieces 6 --seconds 60", 0.2, printed=True),
    "metrics": Recipe(f"benchmarks.evaluation.metrics --audio {CORPUS}", 0.1, printed=True),
    "real-recordings": Recipe("benchmarks.evaluation.real_recordings", printed=True),
}
"""Page -> how it is made. real-recordings needs the folder of recordings after its name."""


def embedded_ids() -> tuple[str, str]:
    """Id of the embedded model, and that of its codec."""
    from vampnet.tasks.model import load

    model = load(device="cpu")
    return model.id, model.codec.id


def of_another_model(model: str, ids: tuple[str, str]) -> bool:
    """Whether figures "of MODEL" are of another model than the embedded one (`ids`)."""
    named = model.partition(" (")[0]
    return named not in (ids[0], f"codec {ids[1]}", "none")


def list_pages() -> None:
    """Print all pages of results."""
    ids = embedded_ids()
    print(f"embedded: model {ids[0]}, codec {ids[1]}\n")
    for page in results():
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix().removeprefix("results/")
        header = header_of(page)
        stale = header is None or of_another_model(header.model, ids)
        how = "" if name not in RECIPES else f"   make results PAGE={name}"
        facts = "no date, model and command" if header is None else f"{header.date:<24} {header.model}"
        print(f"{'ANOTHER MODEL' if stale else '':<14} {name:<26} {facts}{how}")


def make(name: str, further: list[str]) -> None:
    """Make a page again."""
    recipe, words = RECIPES[name], [*shlex.split(RECIPES[name].command), *further]
    if recipe.hours and not any(word in ("--audio", "--rendered") for word in further):
        _run(["vampnet", "corpus", str(CORPUS), "--hours", str(recipe.hours), "--seed", "5", "--split", "test"])
    if recipe.before:
        _run(shlex.split(recipe.before))
    printed = _run(words, capture=recipe.printed)
    page = ROOT / "docs" / "results" / f"{name}.md"
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        text = with_figures(text, printed) if recipe.printed else text
        model, codec = embedded_ids()
        page.write_text(with_header(text, f"codec {codec}" if recipe.codec else model, words), encoding="utf-8")


def with_figures(text: str, figures: str) -> str:
    """A page with other figures between its marks."""
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise SystemExit(f"the page has no lines {MARKS[0]} and {MARKS[1]}; the figures are:\n{figures}")
    return f"{before}{mark}\n\n{figures.strip()}\n\n{end}{after}"


def with_header(text: str, model: str, words: list[str]) -> str:
    """A page whose header says today, `model` and the command."""
    line = f"Date: {datetime.date.today():%Y-%m-%d}. Model: {model}. Command: `python -m {shlex.join(words)}`."
    title, rest = text.split("\n", 1)
    rest = HEADER.sub("", rest, count=1).lstrip("\n")
    return f"{title}\n\n{line}\n\n{rest}"


def _run(words: list[str], capture: bool = False) -> str:
    """Run a module; returns what it printed where that is captured."""
    print(f"python -m {shlex.join(words)}", file=sys.stderr, flush=True)
    output = subprocess.PIPE if capture else None
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, stdout=output, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout or ""


def main() -> None:
    """List the pages, or make the one that is named."""
    words = sys.argv[1:]
    if not words:
        list_pages()
    elif words[0] not in RECIPES:
        raise SystemExit(f"{words[0]}: no such page; there are {', '.join(RECIPES)}")
    else:
        make(words[0], words[1:])


if __name__ == "__main__":
    main()
