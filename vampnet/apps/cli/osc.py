"""`vampnet osc`: a service for patches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vampnet.apps.cli.parser import CommandParser


def osc_options(parser: CommandParser) -> None:
    """Flags of `vampnet osc`."""
    parser.add_argument(
        "--port", type=int, default=8001, metavar="N", help="UDP port that messages come to (default: 8001)"
    )
    parser.add_argument("--reply-port", type=int, default=8003, metavar="N", help="port of the answers (default: 8003)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    parser.add_argument("--folder", default=".", metavar="DIR", help="folder that paths of messages are relative to")
    parser.add_argument(
        "--data", default="", metavar="DIR", help="data folder of the server whose model is used, if one runs there"
    )
    parser.add_argument("--alone", action="store_true", help="use a model of its own, even if a server runs")
    parser.add_argument("--unloop", action="store_true", help="take the messages of unloop's patch too")


def run_osc(options: Any) -> None:
    """Listen until Ctrl-C."""
    from vampnet.apps.http.config import default_data_folder
    from vampnet.apps.osc.service import OscService
    from vampnet.apps.osc.table_worker import TableWorker, running_server

    data = Path(options.data) if options.data else default_data_folder()
    shared = not options.alone and running_server(data)
    service = OscService(
        Path(options.folder),
        host=options.host,
        port=options.port,
        reply_port=options.reply_port,
        unloop=options.unloop,
        worker=TableWorker(data) if shared else None,
    )
    print(
        f"listening at {options.host}:{options.port}, answers to port {options.reply_port}, "
        f"{'with the model of the running server' if shared else 'with a model of its own'}; Ctrl-C ends it",
        file=sys.stderr,
    )
    try:
        service.serve()
    except KeyboardInterrupt:
        service.close()
