"""The ad account as a Gymnasium environment: text in, text out, a reward in USD.

>>> import gymnasium
>>> from opoi_envs.ads.gym.registration import register
>>> register()
>>> env = gymnasium.make("AdAccount-v0")
>>> task, info = env.reset(seed=1)
>>> info["scenario"]
'ads-00000'

It needs `gymnasium`, and `matplotlib` for pictures (`pip install 'opoi[gym]'`). Only `registration` can be
imported without them.
"""
