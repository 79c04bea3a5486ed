"""`vampnet serve`: the HTTP service and the HARP endpoint of this machine."""

from __future__ import annotations

import dataclasses
import logging
import sys
import typing
from typing import Any

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.http.config import ServerConfig
from vampnet.config import descriptions, type_hints
from vampnet.errors import require
from vampnet.jobs.data_folder import ExpiryConfig

_NOT_FLAGS = ("preload", "warm", "expiry")


def serve_options(parser: CommandParser) -> None:
    """One flag per setting of the server, and one that adds a key."""
    server_options(parser)
    parser.add_argument(
        "--add-key", type=str, default=None, metavar="NAME", help="add a key to the file of --keys, print it and end"
    )


def server_options(parser: CommandParser) -> None:
    """One flag per setting of the server."""
    for kind in (ServerConfig, ExpiryConfig):
        hints, help_texts = type_hints(kind), descriptions(kind)
        for field in dataclasses.fields(kind):
            if field.name in _NOT_FLAGS:
                continue
            flag = "--" + field.name.replace("_", "-")
            more: dict[str, Any] = {"type": hints[field.name], "default": field.default}
            if typing.get_origin(hints[field.name]) is tuple:
                more = {"action": "append", "default": None, "metavar": "NAME"}
            parser.add_argument(flag, help=help_texts[field.name].replace("%", "%%"), **more)
    parser.add_argument("--lazy", action="store_true", help="load the model with the first job instead of at the start")


def run_serve(options: CommandOptions) -> None:
    """Serve until Ctrl-C or SIGTERM, or add a key."""
    from vampnet.apps.http.keys import add_key

    if options["add_key"] is not None:
        print(add_key(options["keys"], options["add_key"]))
        return
    require("fastapi", "servers")
    from vampnet.apps.http.server import serve

    logging.getLogger().setLevel(logging.INFO)
    serve(config_from(options), ready=lambda address: _tell(options, address))


def config_from(options: CommandOptions, *, warm: bool = False) -> ServerConfig:
    """The server's settings of these flags; `warm` has the helpers of the studio ready at the start."""
    values = {}
    for field in dataclasses.fields(ServerConfig):
        if field.name not in _NOT_FLAGS:
            value = options[field.name]
            values[field.name] = tuple(value or ()) if isinstance(field.default, tuple) else value
    expiry = ExpiryConfig(**{field.name: options[field.name] for field in dataclasses.fields(ExpiryConfig)})
    return ServerConfig(**values, preload=not options["lazy"], warm=warm, expiry=expiry)


def _tell(options: CommandOptions, address: str) -> None:
    print(f"VampNet listens on {address}, the address for HARP too; Ctrl-C ends it", file=sys.stderr, flush=True)
    warn_of_strangers(options)


def warn_of_strangers(options: CommandOptions) -> None:
    """Say so where anybody on the network can use the server."""
    if options["host"] not in ("127.0.0.1", "localhost", "::1") and not options["keys"]:
        print("vampnet: every machine that reaches this one can use it; --keys asks for keys", file=sys.stderr)
