"""`vampnet guide`: the pages of the documentation, in the terminal."""

from __future__ import annotations

import site
import sysconfig
from pathlib import Path

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.config import nearest
from vampnet.errors import SettingsError

_ROOMS = ("start", "guide", "concepts", "reference")


def guide_options(parser: CommandParser) -> None:
    """Flags of `vampnet guide`."""
    parser.add_argument(
        "page", nargs="?", metavar="PAGE", help="page to print, such as prompts; without it all are listed"
    )
    parser.epilog = "examples:\n  vampnet guide\n  vampnet guide fine-tune"


def run_guide(options: CommandOptions) -> None:
    """Print a page, or the list of pages. Raises SettingsError for one that there is not."""
    pages = find_pages()
    if not pages:
        raise SettingsError("the pages of the documentation are not installed; they are in docs/ of the repository")
    if not options.page:
        width = max(map(len, pages))
        print("\n".join(f"  {name:<{width}}  {title_of(path)}" for name, path in pages.items()))
        return
    if options.page not in pages:
        hint = nearest(options.page, pages)
        raise SettingsError(f"there is no page {options.page!r}{hint} (`vampnet guide` lists all)")
    print(pages[options.page].read_text(encoding="utf-8").rstrip())


def find_pages() -> dict[str, Path]:
    """Name -> Markdown file of each page: those of the checkout, or those that the package was installed with."""
    folder = next((place for place in _folders() if (place / "guide" / "vamp.md").is_file()), None)
    if folder is None:
        return {}
    found = [
        *(page for room in _ROOMS for page in (folder / room).glob("*.md")),
        folder / "concepts.md",
        folder / "limits.md",
    ]
    return {page.stem: page for page in sorted(found, key=_order) if page.name != "README.md"}


def _folders() -> list[Path]:
    """Places of the pages: the checkout, beside the package (`pip --target`), the environment, the user's folder."""
    beside = Path(__file__).resolve().parents[3]
    roots = [beside, Path(sysconfig.get_path("data")), Path(site.getuserbase())]
    return [beside / "docs", *(root / "share" / "doc" / "vampnet" for root in roots)]


def title_of(page: Path) -> str:
    """Title of a page."""
    return page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def _order(page: Path) -> tuple[int, str]:
    """Rooms in the order of the documentation, then by name."""
    room = page.parent.name
    return (_ROOMS.index(room) if room in _ROOMS else len(_ROOMS), page.stem)
