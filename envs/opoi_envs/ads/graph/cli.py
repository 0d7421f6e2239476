"""The command `opoi-ads`."""

from __future__ import annotations

import sys

import click
import msgspec

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.nodes import SIGNIFICANT
from opoi_envs.ads.graph.api import Api
from opoi_envs.ads.graph.faults import Faults, read_faults
from opoi_envs.ads.graph.limits import Limits, Tier
from opoi_envs.ads.graph.server import HOST, bound, serve_forever
from opoi_envs.ads.world.world import World

__all__ = ["main"]


@click.group()
def main() -> None:
    """Work with the simulated ad account."""


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks one.")
@click.option("--token", envvar="OPOI_ADS_TOKEN", show_envvar=True, help="The access token of the account.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of the simulated world."
)
@click.option(
    "--campaigns", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many there are."
)
@click.option("--rate-limits", is_flag=True, help="Count and refuse requests, by the account's own clock.")
@click.option(
    "--tier",
    type=click.Choice(["standard_access", "development_access"]),
    default="standard_access",
    show_default=True,
    help="Quota an hour: 100,000 or 300 points, and 40 for each active ad.",
)
@click.option(
    "--significant",
    type=click.FloatRange(0, 10),
    default=SIGNIFICANT,
    show_default=True,
    help="Share by which a budget has to change at once to reset learning.",
)
@click.option(
    "--faults",
    default="",
    metavar="PLAN",
    help="Fail on purpose: kind=probability, number of request=kind, delay=seconds. "
    "E.g. transient=0.05,slow=0.1,delay=0.5,7=token_expired. A kind is slow, unanswered, report_failed, or "
    "the name of an error.",
)
def serve(
    *,
    port: int,
    token: str | None,
    seed: int,
    campaigns: int,
    rate_limits: bool,
    tier: Tier,
    significant: float,
    faults: str,
) -> None:
    """Serve a simulated ad account on this machine, as a Graph-style API.

    Once it listens, one line of JSON with base_url and account_id goes to standard output. Ctrl-C ends it.
    The clock stands still until POST /control/advance; POST /control/reset begins anew.
    """
    if not token:
        raise click.UsageError(
            "the server wants an access token, and none was given: use --token or set OPOI_ADS_TOKEN"
        )
    plan = _plan(faults, seed)
    try:
        listener = bound(port)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        click.echo(f"cannot listen on {HOST}:{port}: {reason}; give another --port, or 0", err=True)
        sys.exit(1)
    account = Account(World(seed, campaigns=campaigns), significant=significant)
    api = Api(account, token, limits=Limits(on=rate_limits, tier=tier), faults=plan)

    def ready(url: str) -> None:
        line = {"base_url": url, "account_id": account.world.advertiser.id}
        click.echo(msgspec.json.encode(line).decode())

    serve_forever(api, listener, ready)


def _plan(text: str, seed: int) -> Faults:
    try:
        return read_faults(text, seed)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from None
