"""Hooks of the documentation's site: generated pages, and links that lead out of docs/.

On GitHub a page links to `../TRAINING.md` or `../vampnet/bundles/default/README.md`. The site has such files as pages
of its own (OUTSIDE), so their links are changed to these. A link to a file that the site has no page for becomes plain
text. A link to an MP3 file becomes a player.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OUTSIDE = {
    "TRAINING.md": "project/training-log.md",
    "CHANGELOG.md": "project/changes.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "LICENSE": "project/licence.txt",
    "vampnet/bundles/default/README.md": "project/model-card.md",
    "vampnet/bundles/beats/README.md": "project/beat-tracker-card.md",
    "examples/loop.wav": "examples/loop.wav",
}
"""File of the repository -> its place in the site."""
ROOMS = (
    *("apps", "jobs", "tasks", "training", "evaluation", "compression", "generation", "models", "controls"),
    *("codec", "prompts", "beats", "audio"),
)
_LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")

_BAR_IN_CODE = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
"""Code with an escaped bar, as tables need it on GitHub; the site would show the backslash."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, notebooks, the command line and the rooms."""
    for name, place in OUTSIDE.items():
        if (ROOT / name).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        files.append(File.generated(config, _place_of(notebook), content=_notebook(notebook)))
        files.append(File.generated(config, f"examples/{notebook.name}", abs_src_path=str(notebook)))
    files.append(File.generated(config, "reference/command-line.md", content=_command_line()))
    for room in ROOMS:
        files.append(File.generated(config, f"reference/api/{room}.md", content=_room(room)))
    files.append(File.generated(config, "results/all.md", content=_results()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links that lead out of docs/, and those of pages that came from there."""
    source = {place: ROOT / name for name, place in OUTSIDE.items()}.get(page.file.src_uri, DOCS / page.file.src_uri)

    def mended(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        path = Path(os.path.normpath(source.parent / target))
        place = _place_of(path)
        if place is None or files.get_file_from_path(place) is None:
            return link["text"]
        relative = os.path.relpath(place, Path(page.file.src_uri).parent)
        if path.suffix == ".mp3":
            return f'<audio controls preload="none" src="{relative}" title="{link["text"]}"></audio>'
        return f"{link['mark']}[{link['text']}]({relative}{'#' + anchor if anchor else ''})"

    return _outside_code(markdown, lambda text: _BAR_IN_CODE.sub(_as_html, _LINK.sub(mended, text)))


def _as_html(code: re.Match[str]) -> str:
    """Code with bars as HTML."""
    return f"<code>{html.escape(code[1]).replace(chr(92) + '|', '&#124;')}</code>"


def _place_of(path: Path) -> str | None:
    """Place of a file of the repository in the site."""
    if path.suffix == ".ipynb":
        return f"start/notebook-{path.stem.replace('_', '-')}.md"
    if DOCS in path.parents:
        return path.relative_to(DOCS).as_posix()
    return OUTSIDE.get(path.relative_to(ROOT).as_posix()) if ROOT in path.parents else None


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Change the text of a page that is not code; a link may go over the end of a line."""
    parts: list[tuple[bool, list[str]]] = []
    fenced = False
    for line in markdown.split("\n"):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        is_code = fenced or fence or line.startswith("    ")
        if not parts or parts[-1][0] != is_code:
            parts.append((is_code, []))
        parts[-1][1].append(line)
    return "\n".join("\n".join(lines) if is_code else change("\n".join(lines)) for is_code, lines in parts)


def _command_line() -> str:
    """`vampnet --help` and the help of each command."""
    from vampnet.apps.cli.commands import COMMANDS, help_text

    os.environ["COLUMNS"] = "100"
    parts = ["# Command line", "What `vampnet --help` and `vampnet COMMAND --help` print.", f"```\n{help_text()}\n```"]
    for command in COMMANDS:
        parts.append(f"## {command.name}\n\n```\n{command.make_parser().format_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _room(room: str) -> str:
    """The modules of a room, with the docstrings of what is public in them and not on the page of public names."""
    shown = re.findall(r"^::: (\S+)", (DOCS / "reference/api/vampnet.md").read_text(encoding="utf-8"), re.MULTILINE)
    parts = [f"# {room}", f"::: vampnet.{room}\n    options:\n      members: false\n      show_root_heading: false"]
    for path in sorted((ROOT / "vampnet" / room).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.name in ("__init__.py", "__main__.py"):
            continue
        if name in shown:
            parts.append(f"## {path.stem}\n\nOn the page of [public names](vampnet.md).")
            continue
        hidden = [place.rpartition(".")[2] for place in shown if place.rpartition(".")[0] == name]
        filters = ", ".join(f'"{pattern}"' for pattern in ("!^_", *(f"!^{name}$" for name in hidden)))
        parts.append(f"::: {name}\n    options:\n      filters: [{filters}]")
    return "\n\n".join(parts) + "\n"


def _notebook(path: Path) -> str:
    """A notebook as a page: its text and its code, without outputs."""
    import nbformat

    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
    return "\n\n".join([*parts, f"[Download this notebook](../examples/{path.name})"]) + "\n"


def _results() -> str:
    """All pages of results with their date and model."""
    from tests.support.pages import header_of, results

    lines = ["# All pages of results", "", "| page | date | model |", "|---|---|---|"]
    for page in results():
        title = page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        header = header_of(page)
        facts = ("", "") if header is None else (header.date, header.model)
        lines.append(f"| [{title}]({os.path.relpath(page, DOCS / 'results')}) | {facts[0]} | {facts[1]} |")
    return "\n".join(lines) + "\n"
