"""How `gymnasium.make("opoi_envs.ads:AdAccount-v0")` finds the environment.

Gymnasium imports the module before the colon and looks the id up in its registry. A module that was imported
before is not run again, so `opoi_envs.ads` registers the environment whenever Gymnasium is installed, in
whatever order the two are imported. That costs those who have it installed 0.1 s.
"""

from __future__ import annotations

from opoi_envs.ads.gym.missing import missing

__all__ = ["ENTRY_POINT", "ID", "register"]

ID = "AdAccount-v0"
"""Id of the environment in Gymnasium's registry."""

ENTRY_POINT = "opoi_envs.ads.gym.env:AdAccountEnv"
"""Where it is."""


def register(*, optional: bool = False) -> None:
    """Register the environment with Gymnasium, unless it is.

    Args:
        optional: Do nothing where Gymnasium is not installed.

    Raises:
        UsageError: Gymnasium is not installed.
    """
    try:
        from gymnasium.envs import registration
    except ImportError as error:
        if optional:
            return
        raise missing("the Gymnasium environment", error) from error
    if ID not in registration.registry:
        registration.register(ID, entry_point=ENTRY_POINT)
