"""The table of what a run cost."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from opoi.models.meter import Price, Spending, Spent
from opoi.report.tables import MISSING, Cell, Table, visible

__all__ = ["cost_of", "cost_table", "with_costs"]

_MILLION = 1_000_000


def cost_of(spent: Spent, price: Price) -> float:
    """Return what tokens cost, in the currency of the price."""
    return (spent.prompt_tokens * price.input + spent.completion_tokens * price.output) / _MILLION


def with_costs(spending: Spending, prices: Mapping[str, Price]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the spending as plain values, with `cost` for each model that has a price."""
    return {
        stage: {
            model: {
                **msgspec.structs.asdict(spent),
                **({"cost": cost_of(spent, prices[model])} if model in prices else {}),
            }
            for model, spent in models.items()
        }
        for stage, models in spending.items()
    }


def cost_table(spending: Spending, prices: Mapping[str, Price]) -> Table:
    """Return one row per stage and model, and their sum.

    Args:
        spending: What was spent, by stage and model.
        prices: By name of the model; one that has none costs an unknown amount, and so does the sum.
    """
    heads = ("stage", "model", "calls", "failed", "tokens read", "tokens written", "cost")
    entries = [(stage, model, spent) for stage, models in spending.items() for model, spent in models.items()]
    costs = [cost_of(spent, prices[model]) if model in prices else None for _, model, spent in entries]
    rows = [
        _row(stage, model, spent, cost) for (stage, model, spent), cost in zip(entries, costs, strict=True)
    ]
    known = [cost for cost in costs if cost is not None]
    total = sum(known) if len(known) == len(costs) else None
    rows.append(_row("all", "", sum((spent for _, _, spent in entries), Spent()), total))
    unpriced = sorted({model for _, model, _ in entries if model not in prices})
    notes = (
        "calls: requests sent, further tries included; failed: those without a usable answer; tokens as the "
        "endpoint counts them",
        *([f"no price is known for: {', '.join(visible(name) for name in unpriced)}"] if unpriced else []),
    )
    return Table("What the calls to endpoints cost", heads, tuple(rows), notes)


def _row(stage: str, model: str, spent: Spent, cost: float | None) -> tuple[Cell, ...]:
    counts = (spent.calls, spent.failed, spent.prompt_tokens, spent.completion_tokens)
    return (
        Cell(visible(stage)),
        Cell(visible(model)),
        *(Cell(f"{count:,}") for count in counts),
        Cell(MISSING if cost is None else f"{cost:,.4f}"),
    )
