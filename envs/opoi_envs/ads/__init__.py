"""A simulated ad account: one budget decision per scenario, known outcomes, scripted experts.

>>> from opoi_envs.ads import suite
>>> [scenario.id for scenario in suite.scenarios(2, seed=1)]
['ads-00000', 'ads-00001']
"""

from opoi_envs.ads.gym.registration import register
from opoi_envs.ads.suite import EASY, HARD, HELD_OUT, AdsSuite, suite

__all__ = ["EASY", "HARD", "HELD_OUT", "AdsSuite", "suite"]

register(optional=True)
