"""Word lists for names. Names are decoration: no number depends on them."""

from __future__ import annotations

from opoi.seeds import Stream

__all__ = ["ad_name", "ad_set_name", "brand", "campaign_name"]

_HEADS = ("Alder", "Basalt", "Cobalt", "Dune", "Ember", "Fjord", "Grove", "Harbor", "Juniper", "Larch")
_TAILS = ("& Co", "Goods", "House", "Lane", "Outfitters", "Supply", "Works")
_AUDIENCES = ("Broad", "Lookalike", "Prospecting", "Retargeting", "Interest", "Catalog")
_THEMES = (
    "Autumn Picks",
    "Bestsellers",
    "Bundles",
    "Core Range",
    "Gift Ideas",
    "New Arrivals",
)
_REGIONS = ("US", "US East", "US West", "UK", "CA", "AU")
_GROUPS = ("Women 25-44", "Men 25-54", "All adults", "Past visitors", "Lookalike 1 %", "Lookalike 3 %")
_FORMATS = ("Video", "Carousel", "Still", "Collection", "Story")
_HOOKS = ("unboxing", "before and after", "founder", "review", "offer", "detail")


def brand(stream: Stream) -> str:
    """Return the name of a shop."""
    return f"{stream.choice(_HEADS, 'head')} {stream.choice(_TAILS, 'tail')}"


def campaign_name(number: float) -> str:
    """Return the name of a campaign, chosen by a number in [0, 1)."""
    rest, audience = divmod(int(number * len(_AUDIENCES) * len(_THEMES) * len(_REGIONS)), len(_AUDIENCES))
    region, theme = divmod(rest, len(_THEMES))
    return f"{_AUDIENCES[audience]} - {_THEMES[theme]} - {_REGIONS[region]}"


def ad_set_name(number: float) -> str:
    """Return the name of an ad set, chosen by a number in [0, 1)."""
    return _GROUPS[int(number * len(_GROUPS))]


def ad_name(number: float) -> str:
    """Return the name of an ad, chosen by a number in [0, 1)."""
    hook, form = divmod(int(number * len(_FORMATS) * len(_HOOKS)), len(_FORMATS))
    return f"{_FORMATS[form]} - {_HOOKS[hook]}"
