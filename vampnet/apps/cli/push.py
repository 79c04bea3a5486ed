"""`vampnet push`: a bundle to the Hugging Face hub."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def push_options(parser: CommandParser) -> None:
    """Flags of `vampnet push`."""
    parser.add_argument("bundle", type=str, help="bundle folder, such as make-model writes")
    parser.add_argument("repository", type=str, help="OWNER/NAME on the hub; made if it is not there")
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    parser.add_argument("--message", type=str, default="", help="commit message")


def run_push(options: CommandOptions) -> None:
    """`vampnet push`: upload the bundle's own files, its card as README.md."""
    from vampnet.models.sharing import push_bundle

    address = push_bundle(options.bundle, options.repository, private=options.private, message=options.message)
    print(f"pushed to {address}; load it with: vampnet.load({options.repository!r})")
