"""One small account, in process and over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph.api import Api
from opoi_envs.ads.graph.forms import place_of
from opoi_envs.ads.graph.server import serve
from opoi_envs.ads.graph.site import Call, Reply
from opoi_envs.ads.world.world import World

TOKEN = "a-token"
_WORLDS = {seed: World(seed, campaigns=4) for seed in (3, 5)}


class Client:
    """Calls an Api without HTTP, and counts nothing."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.account = api.site.account
        self.act = api.site.account_id

    def reply(self, method: str, path: str, params: dict[str, Any], token: str | None = TOKEN) -> Reply:
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
        place = place_of(path)
        call = Call(
            method=method,
            path=place.path,
            version=place.version,
            params=texts,
            root="http://127.0.0.1" + place.root,
            token=token,
        )
        return self.api.handle(call)

    def get(self, path: str, **params: Any) -> Any:
        return self.reply("GET", path, params).body

    def post(self, path: str, **params: Any) -> Any:
        return self.reply("POST", path, params).body

    def delete(self, path: str, **params: Any) -> Any:
        return self.reply("DELETE", path, params).body

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every row of a list, page by page."""
        rows: list[dict[str, Any]] = []
        params = {"limit": 5000, **params}
        while True:
            body = self.get(path, **params)
            assert "error" not in body, body
            rows += body["data"]
            if "next" not in body.get("paging", {}):
                return rows
            params["after"] = body["paging"]["cursors"]["after"]

    def control(self, method: str, path: str, **params: Any) -> Any:
        texts = {k: str(v) for k, v in params.items()}
        return self.api.control(Call(method=method, path=(path,), params=texts, token=TOKEN)).body

    def state(self) -> Any:
        return self.control("GET", "state")


def client_of(seed: int = 3, **options: Any) -> Client:
    """A fresh account of one of two worlds."""
    return Client(Api(Account(_WORLDS[seed]), TOKEN, **options))


@pytest.fixture
def client() -> Client:
    return client_of()


@pytest.fixture
def make() -> Callable[..., Client]:
    return client_of


@pytest.fixture
def account() -> Account:
    return Account(_WORLDS[3])


@pytest.fixture
def url(account: Account) -> Iterator[str]:
    with serve(account, TOKEN) as base:
        yield base


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, params={"access_token": TOKEN}) as session:
        yield session


@pytest.fixture
def token() -> str:
    return TOKEN
