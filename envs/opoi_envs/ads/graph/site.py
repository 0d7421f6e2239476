"""What every part of the API stands on: the account, its view, the time of day, and one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

from msgspec import Struct

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.nodes import Kind, Node, Refused
from opoi_envs.ads.account.view import View
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.errors import unknown_object

__all__ = ["Call", "Level", "Reply", "Site", "level_of"]

Level = Literal["account", "campaign", "adset", "ad"]


class Call(Struct, frozen=True, kw_only=True):
    """One request, or one item of a batch.

    Attributes:
        method: `GET`, `POST` or `DELETE`.
        path: Without version and slashes: none for the root, `(node,)` or `(node, edge)`.
        version: Of the API, e.g. `(26, 0)`; None where the URL names none.
        params: From query and body, decoded once.
        root: What absolute URLs begin with: scheme, host, prefix and version.
        token: As sent, None if none was.
        linked: The token came as a parameter, so links have to repeat it.
        trace: `fbtrace_id` of the answer.
    """

    method: str
    path: tuple[str, ...]
    version: tuple[int, int] | None = None
    params: Mapping[str, str]
    root: str = ""
    token: str | None = None
    linked: bool = True
    trace: str = ""

    def link(self, path: tuple[str, ...], params: Mapping[str, str]) -> str:
        """Return an absolute URL that this client can call next."""
        query = {name: text for name, text in params.items() if name != "access_token"}
        if self.linked and self.token is not None:
            query = {"access_token": self.token, **query}
        place = "/".join(quote(part, safe="") for part in path)
        return f"{self.root}/{place}?{urlencode(query, errors='replace')}"


class Reply(Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        body: Anything that is JSON.
        status: HTTP status.
        headers: Beside the content type.
        delay: Seconds that the answer is held back.
    """

    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


class Site:
    """The account behind the API, with a time of day.

    Args:
        account: Shared with whoever else uses it; the API keeps no copy of anything that is set in it.

    Attributes:
        view: The account as reported.
        seconds: Since midnight of the account's today, in [0, 86400): moved by the control calls only.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.seconds = 0
        self.view = View(account)

    @property
    def now(self) -> int:
        """Seconds on the account's clock, counted from day 0 of the calendar."""
        return self.account.today * 86400 + self.seconds

    @property
    def account_id(self) -> str:
        """`act_` and digits."""
        return self.account.world.advertiser.id

    @property
    def account_number(self) -> str:
        """The digits alone."""
        return self.account_id.removeprefix("act_")

    def reset(self) -> None:
        """Return to the decision day."""
        self.account.reset()
        self.seconds = 0

    def node(self, name: str, method: str) -> Node | None:
        """Return the object of an id; None for the account itself.

        Raises:
            ApiError: There is none.
        """
        if name == self.account_id:
            return None
        try:
            return self.account.node(name)
        except Refused:
            raise unknown_object(method, name) from None

    def at(self, day: int) -> str:
        """Return the moment at which something was set on a day."""
        return dates.moment(day, 9 * 3600 if day < self.account.world.as_of else 0)

    def ancestor(self, node: Node, kind: Kind) -> Node | None:
        """Return the object itself or the one above it that is of a level; None if that lies below."""
        found: Node | None = node
        while found is not None and found.kind != kind:
            found = self.account.nodes[found.parent] if found.parent else None
        return found


def level_of(node: Node | None) -> Level:
    """Return the level of an object; None is the account."""
    return "account" if node is None else node.kind
