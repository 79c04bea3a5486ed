"""The page of a listening test: HTML, CSS and JavaScript, put into one file."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files

from vampnet.evaluation.listening.design import ListeningTest

SCRIPTS = ("random.js", "player.js", "timeline.js", "parts.js", "mushra.js", "choice.js", "state.js", "app.js")
"""Scripts of the page, in the order in which they are joined."""
SUBMIT_META = '<meta name="submit-url" content="{}">'
"""Tag that holds the address for results; the server fills in its own."""


def page_html(test: ListeningTest) -> str:
    """`index.html` of a test, complete but for the audio scripts beside it."""
    parts = {
        "TITLE": html.escape(test.settings.title),
        "SUBMIT": SUBMIT_META.format(html.escape(test.settings.submit_url)),
        "STYLE": _text("style.css"),
        # "<" would let a title such as "</script>" end the script.
        "TEST": json.dumps(test.for_page(), ensure_ascii=False).replace("<", "\\u003c"),
        "SCRIPT": "\n".join(_text(name) for name in SCRIPTS),
    }
    # In one pass, so that a title with braces is text like any other.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _text("index.html"))


def report_css() -> str:
    """Style of the analysis' report."""
    return _text("report.css")


def _text(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")
