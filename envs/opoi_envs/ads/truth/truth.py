"""The truth about a scenario: utilities expected and realised, the best actions, what is hidden."""

from __future__ import annotations

from opoi.types import Truth
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import COLUMNS, View
from opoi_envs.ads.truth.belief import MIXED, Prior, expected
from opoi_envs.ads.truth.evidence import Evidence, complete
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.truth.secrets import secrets_of
from opoi_envs.ads.truth.utility import NULL_ACTION, best, tolerance
from opoi_envs.ads.world.world import World

__all__ = ["observable", "truth_of"]

_PURCHASES = COLUMNS.index("purchases")


def observable(view: View) -> Evidence:
    """Return all that tools can reveal about the campaign in focus on the decision day."""
    focus = view.account.node(view.account.world.focus.id)
    return complete(view.daily(focus)[_PURCHASES, ::-1].tolist())


def truth_of(world: World, prior: Prior = MIXED) -> Truth:
    """Return what really holds: utilities in USD, best actions, and what no tool reveals.

    Args:
        world: The world.
        prior: What the world was drawn from.
    """
    world.play()
    view = View(Account(world))
    futures = realised(world)
    hopes = expected(world.focus, observable(view), prior)
    came = {action: future.utility_cents / 100 for action, future in futures.items()}
    within = tolerance(world.focus)
    return Truth(
        expected=hopes,
        realised=came,
        observable_actions=best(hopes, within),
        hindsight_actions=best(came, within),
        hidden=secrets_of(world, view, futures[NULL_ACTION]),
    )
