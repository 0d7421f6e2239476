"""The command `opoi`: options, and what each subcommand says. The work is elsewhere."""

from opoi.cli.main import cli, main

__all__ = ["cli", "main"]
