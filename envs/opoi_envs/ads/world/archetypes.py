"""The archetypes: pages that a media buyer would recognise, and the causes that look like them.

Causes and overlays are drawn after the screen and leave no mark on it except where `Cause.funnel` says so.
All probabilities and strengths are choices of this simulator; levels follow common trade figures for
e-commerce accounts.

With standard overlays, raising the budget pays from an r (times the quality of the days to come) of about
1.74 on, cutting it below 1.26, and pausing below 0.96; see `opoi_envs.ads.truth.utility`.
"""

from __future__ import annotations

from opoi_envs.ads.world.shapes import Archetype, Cause, Overlay

__all__ = ["ARCHETYPES", "archetype_of"]

ARCHETYPES: tuple[Archetype, ...] = (
    Archetype(
        name="headroom",
        page="CPA a third under target for weeks, days steady, frequency low. The budget is the limit.",
        lesson="Raise by one step. In hindsight wrong where a seasonal peak was ending.",
        weight=0.15,
        low=2.25,
        high=2.75,
        edge=1.8,
        causes=(Cause("headroom", 0.9, 1.0), Cause("seasonal_peak", 0.1, 0.7)),
    ),
    Archetype(
        name="steady",
        page="CPA near target, no trend, nothing changed lately.",
        lesson="Hold. Hindsight knows the few that were about to rise or slacken.",
        weight=0.06,
        low=1.38,
        high=1.54,
        edge=1.74,
        causes=(Cause("steady", 0.86, 1.0), Cause("upswing", 0.07, 1.32), Cause("slackening", 0.07, 0.72)),
    ),
    Archetype(
        name="saturated",
        page="A former winner: the budget was raised twice, each step bought dearer purchases, and CPA now "
        "stands well over target.",
        lesson="Take one step back. In hindsight wrong where passing auction pressure was to blame.",
        weight=0.07,
        low=0.98,
        high=1.1,
        edge=1.2,
        frequency=2.4,
        raised=((26, 0.694), (17, 0.833)),
        causes=(Cause("saturated", 0.9, 1.0), Cause("auction_pressure", 0.1, 1.42)),
    ),
    Archetype(
        name="collapse",
        page="A campaign far under target loses four purchases in ten over the last three days.",
        lesson="One step down once the funnel shows that visitors, not records, are missing. In hindsight "
        "wrong where it mended itself.",
        weight=0.08,
        low=1.6,
        high=1.78,
        edge=1.92,
        bends=((3, 0.58),),
        causes=(
            Cause("demand_fell", 0.6, 0.58),
            Cause("checkout_broken", 0.25, 0.58, funnel="site"),
            Cause("passing_dip", 0.15, 1.0),
        ),
    ),
    Archetype(
        name="tracking_outage",
        page="The same fall over three days, but most often the pixel's other events have vanished too.",
        lesson="Hold: a dark funnel means that records are missing, not sales. Where only the purchase event "
        "is lost, nothing on the screen tells it from a collapse.",
        weight=0.05,
        low=1.6,
        high=1.78,
        edge=1.5,
        bends=((3, 0.58),),
        causes=(
            Cause("tag_removed", 0.75, 1.0, funnel="dark", hides_sales=True),
            Cause("purchase_event_lost", 0.25, 1.0, hides_sales=True),
        ),
    ),
    Archetype(
        name="lag_dip",
        page="Yesterday collapsed, but part of its purchases have not arrived yet; the week is fine.",
        lesson="Hold: yesterday always looks worse than it will turn out. Seldom it is the first day of a "
        "decline.",
        weight=0.06,
        low=1.38,
        high=1.54,
        edge=1.72,
        bends=((1, 0.8),),
        causes=(Cause("lag", 0.9, 1.0), Cause("first_day_of_decline", 0.1, 0.62)),
    ),
    Archetype(
        name="loser",
        page="ROAS under break-even through every window; orders lose money.",
        lesson="Pause. Hindsight knows the few that were about to bloom.",
        weight=0.14,
        low=0.62,
        high=0.8,
        edge=0.92,
        causes=(Cause("loser", 0.9, 1.0), Cause("late_bloomer", 0.1, 1.7)),
    ),
    Archetype(
        name="fatigue",
        page="Frequency 3.5 in seven days, click-through rate down a quarter over two weeks; CPA still fair.",
        lesson="One step down: the audience has seen it all. In hindsight wrong where fresh creative came.",
        weight=0.06,
        low=1.48,
        high=1.62,
        edge=1.74,
        fade=0.022,
        frequency=3.5,
        causes=(Cause("fatigue", 0.85, 0.66), Cause("fresh_creative", 0.15, 1.0)),
    ),
    Archetype(
        name="recovering",
        page="Two weeks at half the usual sales, and three days back at the old level.",
        lesson="Hold and let it prove itself; the seven-day average still shows the bad days.",
        weight=0.04,
        low=1.5,
        high=1.62,
        edge=1.78,
        bends=((14, 0.56), (3, 1.0)),
        causes=(Cause("restored", 0.87, 1.0), Cause("relapse", 0.13, 0.66)),
    ),
    Archetype(
        name="learning",
        page="The budget was raised by 39 % at once three days ago; delivery learns anew and CPA is up.",
        lesson="Hold until learning ends; a further edit would reset it.",
        weight=0.04,
        low=1.5,
        high=1.62,
        edge=1.74,
        bends=((3, 0.8),),
        raised=((3, 0.72),),
        causes=(Cause("learning_ends", 0.86, 1.0), Cause("learning_limited", 0.14, 0.78)),
    ),
    Archetype(
        name="weekend_dip",
        page="It is Monday, and Saturday and Sunday sold a third less, as on every weekend before.",
        lesson="Hold: compare with the last weekend, not with Friday.",
        weight=0.04,
        low=1.45,
        high=1.58,
        edge=1.74,
        weekend=True,
        causes=(Cause("weekly_rhythm", 0.95, 1.0), Cause("softening", 0.05, 0.7)),
    ),
    Archetype(
        name="price_surge",
        page="CPM up by a third since five days, click-through and conversion rate as ever.",
        lesson="Hold: a competitor's surge passes more often than not.",
        weight=0.03,
        low=1.62,
        high=1.78,
        edge=1.5,
        bends=((5, 0.74),),
        surge=(5, 1.35),
        causes=(Cause("surge_passes", 0.6, 0.97), Cause("surge_stays", 0.4, 0.74)),
    ),
    Archetype(
        name="stock_out",
        page="Looks like a winner with headroom. The product is about to sell out.",
        lesson="Raising is right on the screen; only who knows the warehouse cuts.",
        weight=0.02,
        low=2.25,
        high=2.75,
        edge=1.8,
        causes=(Cause("headroom", 1.0, 1.0),),
        overlays=(
            Overlay("stock_out", 0.4, start=1, lift=0.0),
            Overlay("stock_out", 0.3, start=2, lift=0.0),
            Overlay("stock_out", 0.3, start=4, lift=0.0),
        ),
    ),
    Archetype(
        name="promotion",
        page="Looks like a steady campaign. The client is about to start a promotion.",
        lesson="Holding is right on the screen; only who knows the client's plans raises.",
        weight=0.02,
        low=1.38,
        high=1.54,
        edge=1.74,
        causes=(Cause("steady", 1.0, 1.0),),
        overlays=(
            Overlay("promotion", 0.5, start=1, lift=1.6),
            Overlay("promotion", 0.5, start=4, lift=1.6),
        ),
    ),
    Archetype(
        name="false_economy",
        page="CPA under the client's target, and yet ROAS only breaks even: the target is above what an "
        "order earns.",
        lesson="One step down: the target is met and earns nothing.",
        weight=0.04,
        low=0.98,
        high=1.08,
        edge=1.2,
        goal=1.05,
        causes=(Cause("as_it_looks", 0.92, 1.0), Cause("upswing", 0.08, 1.35)),
    ),
    Archetype(
        name="hot_streak",
        page="Three days half as good again as all the weeks before.",
        lesson="Hold: streaks mostly end. In hindsight wrong where it lasted.",
        weight=0.03,
        low=1.3,
        high=1.42,
        edge=1.5,
        bends=((3, 1.45),),
        causes=(Cause("luck", 0.75, 1.0), Cause("lasting", 0.25, 1.4)),
    ),
    Archetype(
        name="slow_decline",
        page="Each week a little dearer than the one before, for three weeks; no single day stands out.",
        lesson="One step down before it is a loser. In hindsight too early where it levelled off.",
        weight=0.05,
        low=1.6,
        high=1.75,
        edge=1.88,
        bends=((21, 0.93), (14, 0.84), (7, 0.74)),
        causes=(Cause("goes_on", 0.6, 0.6), Cause("levels_off", 0.4, 0.76)),
    ),
    Archetype(
        name="new_creative",
        page="A tired campaign got new creative four days ago and sells as in its best days.",
        lesson="Raise by one step. In hindsight wrong where it was novelty.",
        weight=0.06,
        low=2.1,
        high=2.4,
        edge=1.85,
        bends=((12, 0.68), (4, 1.0)),
        refreshed=4,
        frequency=2.4,
        causes=(Cause("holds", 0.85, 1.0), Cause("novelty_fades", 0.15, 0.7)),
    ),
    Archetype(
        name="young",
        page="Launched six days ago, still learning, CPA over target on little data.",
        lesson="Hold: too early to kill. Half of them mature.",
        weight=0.03,
        low=1.05,
        high=1.2,
        edge=1.02,
        launched=6,
        causes=(Cause("matures", 0.45, 1.5), Cause("stays", 0.55, 1.0)),
    ),
    Archetype(
        name="lucky_day",
        page="Yesterday sold nearly double; no day before came close.",
        lesson="Hold: one day is no trend, and yesterday is not even complete.",
        weight=0.02,
        low=1.38,
        high=1.5,
        edge=1.74,
        bends=((1, 1.7),),
        causes=(Cause("one_off", 0.9, 1.0), Cause("momentum", 0.1, 1.3)),
    ),
    Archetype(
        name="sale_hangover",
        page="Two weeks of a sale that ended four days ago; now a little under the old level.",
        lesson="Hold: measured against the time before the sale little has changed.",
        weight=0.02,
        low=1.45,
        high=1.58,
        edge=1.3,
        bends=((14, 1.5), (4, 0.9)),
        causes=(Cause("passes", 0.7, 1.0), Cause("stays_low", 0.3, 0.82)),
    ),
)
"""Every archetype."""


def archetype_of(name: str) -> Archetype:
    """Return the archetype of that name.

    Raises:
        KeyError: There is none.
    """
    for archetype in ARCHETYPES:
        if archetype.name == name:
            return archetype
    raise KeyError(name)
