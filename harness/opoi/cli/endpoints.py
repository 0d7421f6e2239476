"""`opoi probe`: what an endpoint can do. `opoi costs`: what a run spent. `opoi serve`: a model as one."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from opoi.cli.options import OPTIONS, debug, taped
from opoi.errors import UsageError, visible

__all__ = ["costs", "probe", "serve"]


@click.command()
@click.argument("url")
@OPTIONS["model_name"]
@OPTIONS["temperature"]
@OPTIONS["timeout"]
@OPTIONS["retries"]
@OPTIONS["api_key_env"]
@taped
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug
def probe(
    *, url: str, record: Path | None, replay: Path | None, as_json: bool, quiet: bool, **given: Any
) -> None:
    """Find out with a few cheap calls what an OpenAI-compatible endpoint can do.

    URL is the base URL, usually ending in /v1. The answer says how tools, seeds, log-probabilities and
    streams work there, and which methods and measures can run.
    """
    import msgspec

    from opoi.models.session import Session
    from opoi.preflight import look_at
    from opoi.progress import watcher

    with closing(Session(record=record, replay=replay)) as session:
        watch = watcher(quiet=quiet or as_json).start("probe", 0)
        try:
            found = look_at(url, given, session, progress=lambda _: watch.advance())
        finally:
            watch.close()
    if as_json:
        click.echo(_json({"tier": found.tier, "scoring": found.scoring, **msgspec.to_builtins(found)}))
        return
    from rich.console import Console

    from opoi.preflight import needs
    from opoi.report.capabilities import capability_table, tier_table
    from opoi.report.terminal import print_table

    console = Console(highlight=False)
    print_table(capability_table(found), console)
    print_table(tier_table(found, *needs()), console)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@OPTIONS["prices"]
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@debug
def costs(*, folder: Path, prices: Path | None, as_json: bool) -> None:
    """Show what the calls of a run cost, by stage, arm and model."""
    import msgspec

    from opoi.ledger import Ledger
    from opoi.run import Run
    from opoi.settings import merge, read_table

    run = Run.open(folder)
    settings = run.settings
    if prices is not None:
        settings = merge(msgspec.to_builtins(settings), {"prices": read_table(prices)})
    spending = Ledger(folder).spending
    if as_json:
        from opoi.report.costs import with_costs

        click.echo(_json(with_costs(spending, settings.prices)))
        return
    if not spending:
        click.echo("no calls are booked: the models of this run were in its process, or on a tape")
        return
    from rich.console import Console

    from opoi.report.costs import cost_table
    from opoi.report.terminal import print_table

    print_table(cost_table(spending, settings.prices), Console(highlight=False))


def _json(value: object) -> str:
    """Return indented JSON that cannot steer a terminal: what `visible` writes into a text is an escape."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return visible(text.replace("\x7f", "\\u007f"))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free one.  [8000]")
@click.option("--suite", default="ads", metavar="REF", help="Whose embedded model.  [ads]")
@click.option("--persona", default="default", metavar="NAME|FILE", help="Which persona.  [default]")
@click.option("--model-name", default="", metavar="NAME", help="Name it goes by.  [stand-in/PERSONA]")
@click.option("--quirks", default="", metavar="PROFILE", help="Behave as a real server does: `opoi list`.")
@click.option(
    "--api-key-env", default="", metavar="VAR", help="Demand the key in this environment variable.  [none]"
)
@debug
def serve(*, port: int, suite: str, persona: str, model_name: str, quirks: str, api_key_env: str) -> None:
    """Offer the embedded model over HTTP (loopback only), as an OpenAI-compatible endpoint.

    It speaks chat completions and completions (streams and log-probabilities too), models, files and
    fine-tuning jobs.
    """
    from opoi.models.served.quirks import NEUTRAL, profile
    from opoi.models.served.server import serve as serve_model
    from opoi.registry import load_suite

    token = os.environ.get(api_key_env, "") if api_key_env else None
    if token == "":
        raise UsageError(
            f"the environment variable {api_key_env} is not set", fix="set it to the key to demand"
        )
    model = load_suite(suite).stand_in(Path(persona) if persona.endswith(".toml") else persona)

    def ready(url: str) -> None:
        click.echo(f"serving {model.name} at {url}", err=True)
        named = "" if suite == "ads" else f"--suite {suite} "
        click.echo(f"try: opoi run {named}--model {url}", err=True)

    serve_model(
        model,
        port=port,
        name=model_name or model.name,
        ready=ready,
        token=token,
        quirks=profile(quirks) if quirks else NEUTRAL,
    )
