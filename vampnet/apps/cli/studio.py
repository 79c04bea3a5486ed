"""`vampnet studio`: the server with the page for musicians, opened in a browser."""

from __future__ import annotations

import logging
import sys
import threading
import webbrowser

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.serve import config_from, server_options, warn_of_strangers
from vampnet.errors import require


def studio_options(parser: CommandParser) -> None:
    """One flag per setting of the server, and one for the browser."""
    parser.add_argument("--no-browser", action="store_true", help="open no browser; print the address alone")
    server_options(parser)


def run_studio(options: CommandOptions) -> None:
    """Serve until Ctrl-C or SIGTERM, with the page open in a browser."""
    require("fastapi", "the studio")
    from vampnet.apps.http.server import serve

    logging.getLogger().setLevel(logging.INFO if options["verbose"] else logging.WARNING)
    serve(config_from(options, warm=True), ready=lambda address: _open(options, address))


def _open(options: CommandOptions, address: str) -> None:
    page = f"{address}/studio/"
    print(f"VampNet Studio is at {page}; Ctrl-C ends it", file=sys.stderr, flush=True)
    warn_of_strangers(options)
    if not options["no_browser"]:
        threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
