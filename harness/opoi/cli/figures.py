"""`opoi figures`: what every figure means."""

from __future__ import annotations

import click

from opoi.cli.options import debug
from opoi.errors import UnknownNameError

__all__ = ["figures"]


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--markdown", is_flag=True, help="As a list in Markdown.")
@debug
def figures(*, names: tuple[str, ...], markdown: bool) -> None:
    """Say what figures mean: formula, unit, range, source, what they need, when not to use them.

    Without a NAME, all figures that reports and comparisons print.
    """
    from opoi.measures.catalogue import catalogue
    from opoi.report.definitions import definition_lines, definition_markdown

    known = catalogue()
    for name in names:
        if name not in known:
            raise UnknownNameError("figure", name, known)
    chosen = {name: known[name] for name in names or known}
    if markdown:
        click.echo(definition_markdown(chosen), nl=False)
        return
    for index, (name, told) in enumerate(chosen.items()):
        click.echo("\n" * (index > 0) + "\n".join(definition_lines(name, told)))
