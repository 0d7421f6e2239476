"""`opoi power`: how many scenarios a comparison needs, before anyone pays for calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opoi.cli.options import debug

if TYPE_CHECKING:  # numpy is slow to import
    from opoi.measures.power import Plan, Question

__all__ = ["power"]

_ALTERNATIVES = (3, 5, 10, 20)


@click.command()
@click.option("--effect", type=float, help="Second arm minus first; for shares 0.04 is four points.")
@click.option(
    "--scenarios", type=int, metavar="N", help="Ask for the power of N; without --effect: what N find."
)
@click.option(
    "--metric",
    type=click.Choice(["consensus", "accuracy", "mean"]),
    default="consensus",
    help="What is compared; mean: any figure that is a mean over scenarios.  [consensus]",
)
@click.option(
    "--from",
    "baseline",
    type=float,
    help="Value of the first arm.  [consensus 0.854: of 3 runs; accuracy 0.697]",
)
@click.option(
    "--runs", type=int, multiple=True, metavar="R", help="Runs of a scenario; may be repeated.  [3]"
)
@click.option("--paired/--unpaired", default=True, help="Both arms on the same scenarios, or not.  [paired]")
@click.option(
    "--correlation",
    type=float,
    multiple=True,
    help="Of a scenario's difficulty between the arms; may be repeated.  [0, 0.5, 0.9]",
)
@click.option(
    "--phi", type=float, multiple=True, help="Instead: correlation of a scenario's figure between the arms."
)
@click.option(
    "--sd",
    type=float,
    multiple=True,
    help="For mean: standard deviation of the differences of pairs, or of one arm with --unpaired.",
)
@click.option(
    "--concentration",
    type=float,
    default=3.0,
    help="Of the Beta distribution of a scenario's chances; small where scenarios are clear-cut.  [3]",
)
@click.option("--power", "wanted", type=float, default=0.8, help="Probability of finding the effect.  [0.8]")
@click.option("--alpha", type=float, default=0.05, help="Level of the two-sided test.  [0.05]")
@click.option("--calls-per-run", type=int, default=1, metavar="K", help="Model calls of one run.  [1]")
@click.option(
    "--simulate",
    "studies",
    type=int,
    default=0,
    metavar="M",
    help="Check the answer on M simulated comparisons of each kind.  [0]",
)
@click.option("--seed", type=int, default=0, help="Seed of the simulation.  [0]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@debug
def power(
    *,
    runs: tuple[int, ...],
    wanted: float,
    studies: int,
    seed: int,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Say how many scenarios find an effect, and how many calls they take, before anyone pays for them.

    \b
    opoi power --effect 0.04 --runs 3                       scenarios for consensus .854 to .894
    opoi power --effect 0.04 --scenarios 100                the power of 100
    opoi power --scenarios 300                              the smallest effect that 300 find
    opoi power --metric accuracy --effect 0.03 --runs 1 --phi 0.7
    opoi power --metric mean --effect 0.058 --sd 0.2        e.g. of avgLogprob

    The answers are sums and integrals, not draws; --simulate checks them. The rows show other numbers of
    runs as well, unless --phi or --sd hold for one number alone.
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill
    from opoi.measures.power import plan

    asked = runs or (3,)
    answer = plan(_question(asked, wanted, given))
    if studies:
        answer = _simulated(answer, studies, seed, quiet=quiet or as_json)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
        return
    from rich.console import Console

    from opoi.report.power import power_summary, power_tables
    from opoi.report.terminal import print_table

    for count in dict.fromkeys(asked):
        click.echo(power_summary(answer, count))
    console = Console(highlight=False)
    for table in power_tables(answer, studies=studies):
        print_table(table, console)


def _simulated(answer: Plan, studies: int, seed: int, *, quiet: bool) -> Plan:
    from opoi.measures.power import check_simulation, simulate
    from opoi.progress import watcher

    check_simulation(answer, studies)
    watch = watcher(quiet=quiet).start("simulate", len(answer.choices))
    try:
        return simulate(answer, studies, seed, progress=watch.advance)
    finally:
        watch.close()


def _question(asked: tuple[int, ...], wanted: float, given: dict[str, Any]) -> Question:
    """Turn what was typed into a question; the ties that were typed replace those by default."""
    from opoi.errors import UsageError
    from opoi.measures.power import Question

    rows = (*_ALTERNATIVES, 1) if given["metric"] == "accuracy" else _ALTERNATIVES
    typed = {name: given.pop(name) for name in ("correlation", "phi", "sd")}
    if typed["correlation"] and (typed["phi"] or typed["sd"] or not given["paired"]):
        raise UsageError(
            "--correlation does not go with --phi, --sd or --unpaired",
            why="each of them says all about how the arms are tied",
            fix="leave one out",
        )
    free = not (typed["phi"] or given["metric"] == "mean")
    ties = {"correlations": typed["correlation"]} if typed["correlation"] else {}
    return Question(
        runs=tuple(sorted({*asked, *rows})) if free else tuple(dict.fromkeys(asked)),
        phi=typed["phi"],
        sds=typed["sd"],
        power=wanted,
        **ties,
        **given,
    )
