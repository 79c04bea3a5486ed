"""The pages of the documentation: their links, anchors, and what pages of results say of themselves."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = re.compile(r"^Date: (?P<date>2\d{3}-\d\d-\d\d.*?)\. Model: (?P<model>.+?)\. Command: (?P<command>.+)\.$", re.M)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def pages() -> list[Path]:
    """All Markdown files of the repository, those that git ignores left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in sorted(listed) if (ROOT / name).is_file() and not name.startswith(".")]


def results() -> list[Path]:
    """Pages of figures: those below docs/results but for their index, and the gallery."""
    folder, gallery = ROOT / "docs" / "results", ROOT / "docs" / "gallery.md"
    return [page for page in pages() if (folder in page.parents and page.name != "README.md") or page == gallery]


def prose(page: Path) -> str:
    """The text of a page without its code."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def links(page: Path) -> list[str]:
    """Targets of the links and pictures of a page, those to other hosts left out."""
    return [target for target in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    broken = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        path = page if not name else (page.parent / name).resolve()
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    return broken


@dataclass(frozen=True)
class ResultsHeader:
    """What a page of results says of itself."""

    date: str
    """Day of the figures, 2026-11-30, or several."""
    model: str
    """Id of the model (16 hexadecimal digits), "codec" and its id, "none ...", or "older ..."."""
    command: str
    """Command that makes the page or its figures."""


def header_of(page: Path) -> ResultsHeader | None:
    """The line `Date: ... Model: ... Command: ...` near the top of a page of results; None without one."""
    top = "\n".join(page.read_text(encoding="utf-8").splitlines()[:12])
    found = HEADER.search(top)
    return None if found is None else ResultsHeader(**found.groupdict())
