"""`vampnet completion`: completion of commands, flags and choices in a shell."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser

_WHERE = {
    "bash": 'eval "$(vampnet completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(vampnet completion zsh)" in ~/.zshrc, after compinit',
    "fish": "vampnet completion fish > ~/.config/fish/completions/vampnet.fish",
}


def completion_options(parser: CommandParser) -> None:
    """Flags of `vampnet completion`."""
    parser.add_argument("shell", choices=list(_WHERE), help="shell that the script is for")
    parser.epilog = "\n".join(["where it goes:", *(f"  {line}" for line in _WHERE.values())])


def run_completion(options: CommandOptions) -> None:
    """Print the script."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["vampnet"], shell=options.shell))
