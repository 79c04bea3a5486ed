"""Make docs/results/evaluation.md from finished runs of `vampnet evaluate`: verdicts, tables, plots, results.csv.

    python -m benchmarks.pages.evaluation OUT [OTHER ...]

Verdicts are those of the first folder, and of the others for what it did not test; their tables are added, such as that
of `--experiments sampler`, run on other excerpts. Small enough for a repository; the whole report, with examples to
listen to, is OUT/report.html. Needs the extra `plot`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
FOLDER = RESULTS / "evaluation"
UNTESTED = "not tested"
COLUMNS = ("mel", "chroma", "beat_f", "onsets")
NAMES = {"mel": "mel distance", "chroma": "chroma", "beat_f": "beat F", "onsets": "onset ratio"}


def interval(entry: dict[str, Any] | None, decimals: int = 3) -> str:
    """ "0.123 (0.100 to 0.150)"."""
    if not entry or entry.get("value") is None:
        return ""
    value, low, high = (f"{entry[key]:.{decimals}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def judged(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings of the first run; those that it did not test are of the first that did, and say of what."""
    first, *others = runs
    tested: dict[int, dict[str, Any]] = {}
    for run in others:
        for finding in run["findings"][0]:
            if finding["verdict"] != UNTESTED:
                named = finding | {"rule": f"{finding['rule']} On other excerpts: {facts_of(run)}"}
                tested.setdefault(finding["number"], named)
    return [(f["verdict"] == UNTESTED and tested.get(f["number"])) or f for f in first["findings"][0]]


def verdicts(findings: list[dict[str, Any]]) -> str:
    """A row per finding, then the claims that each rests on."""
    lines = ["| finding of the paper | verdict |", "|---|---|"]
    lines += [f"| {f['number']}. {f['statement']} | **{f['verdict']}** |" for f in findings]
    for finding in findings:
        lines += ["", f"{finding['number']}. {finding['rule']}"]
        for claim in finding["claims"]:
            lines.append(
                f"   - {claim['text']}: {interval(claim['interval'])}, {claim['verdict']} ({claim['numbers']})"
            )
    return "\n".join(lines)


def table(experiment: dict[str, Any], embeddings: list[dict[str, Any]]) -> str:
    matched = {found["name"]: found for found in experiment.get("matched", [[]])[0]}
    head = ["condition", "FAD", *(NAMES[name] for name in COLUMNS)]
    head += ["diversity", "FAD minus the temperature curve's"] if matched else ["kept bit/s"]
    lines = ["| " + " | ".join([*head, "s per excerpt"]) + " |", "|---" * (len(head) + 1) + "|"]
    for condition in experiment["conditions"]:
        cells = [condition["name"], interval(condition["sets"][0]["fad"])]
        cells += [interval(condition["metrics"][name]) for name in COLUMNS]
        if matched:
            own = matched[condition["name"]]
            cells += [interval(own["diversity"]), "on it" if own["on_curve"] else interval(own["excess"])]
        else:
            rate = condition["metrics"]["rate"]["value"]
            cells.append("" if rate is None else f"{rate:.0f}")
        lines.append("| " + " | ".join([*cells, f"{condition['seconds_per_excerpt']:.1f}"]) + " |")
    for embedding, choice in zip(embeddings, experiment.get("choice", ()), strict=False):
        lines.append(f"\nChosen, by {embedding['id']}: {choice['name']}. {choice['reason']}.")
    return "\n".join(lines)


def facts_of(data: dict[str, Any]) -> str:
    excerpts, model = data["excerpts"], data["model"]
    return (
        f"{excerpts['n']} excerpts of {excerpts['length_s']:.0f} s of {excerpts['pieces']} pieces; FAD: "
        f"{data['embeddings'][0]['id']}; {model['backend']} backend, {model['dtype'].removeprefix('torch.')}; "
        f"bundle {model['bundle']}, code {model['code']}; {data['resamples']} resamples."
    )


def plot(experiment: dict[str, Any], path: Path) -> None:
    """FAD of each condition with its interval."""
    conditions = [c for c in experiment["conditions"] if c["sets"][0]["fad"]["value"] is not None]
    figure = Figure(figsize=(7, 0.5 + 0.28 * len(conditions)), layout="constrained")
    axes = figure.subplots()
    for place, condition in enumerate(reversed(conditions)):
        fad = condition["sets"][0]["fad"]
        axes.plot([fad["low"], fad["high"]], [place, place], color="0.6", linewidth=3)
        axes.plot(fad["value"], place, "o", color="black", markersize=4)
    axes.set_yticks(range(len(conditions)), [c["name"] for c in reversed(conditions)], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("FAD of mel statistics, 95 % interval")
    figure.savefig(path, dpi=90)


def plot_rates(experiment: dict[str, Any], path: Path) -> None:
    """Mel distance against what is kept, a line per number of codebooks."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    lines: dict[str, list[tuple[float, ...]]] = {}
    for condition in experiment["conditions"]:
        mel, kept = condition["metrics"]["mel"], condition["metrics"]["rate"]["value"]
        point = (kept, mel["value"], mel["value"] - mel["low"], mel["high"] - mel["value"])
        lines.setdefault(condition["name"].split("-")[0].removeprefix("nk"), []).append(point)
    for n_kept, points in lines.items():
        kept_bps, mels, below, above = zip(*sorted(points), strict=True)
        axes.errorbar(kept_bps, mels, (below, above), marker="o", markersize=3, label=f"{n_kept} codebooks")
    axes.set_xscale("log")
    axes.set_xlabel("kept, bit/s")
    axes.set_ylabel("mel distance, 95 % interval")
    axes.legend()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders that `vampnet evaluate -o` wrote")
    options = parser.parse_args()
    found = [json.loads((folder / "results.json").read_text()) for folder in options.results]
    FOLDER.mkdir(exist_ok=True)
    first = found[0]
    parts = [
        "# The paper's experiments on the embedded model",
        "Made by `python -m benchmarks.pages.evaluation OUT [OTHER ...]`.",
    ]
    parts += [facts_of(first), *(f"- {warning}" for warning in first["warnings"])]
    parts += ["## Verdicts", verdicts(judged(found))]
    for data in found:
        for experiment in data["experiments"]:
            picture = FOLDER / f"{experiment['name']}.png"
            (plot_rates if experiment["view"] == "rates" else plot)(experiment, picture)
            parts += [f"## {experiment['title']}", experiment["about"]]
            parts += [facts_of(data)] if data is not first else []
            parts += [f"![figures](evaluation/{picture.name})", table(experiment, data["embeddings"])]
    (RESULTS / "evaluation.md").write_text("\n\n".join(part.strip("\n") for part in parts) + "\n")
    shutil.copyfile(options.results[0] / "results.csv", FOLDER / "results.csv")
    for folder, data in zip(options.results[1:], found[1:], strict=True):
        names = "-".join(experiment["name"] for experiment in data["experiments"])
        shutil.copyfile(folder / "results.csv", FOLDER / f"results-{names}.csv")


if __name__ == "__main__":
    main()
