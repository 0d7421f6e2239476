"""The API without HTTP: one request in, one answer out. Requests are handled one after another."""

from __future__ import annotations

import hmac
from typing import Any

from msgspec import structs

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph import control
from opoi_envs.ads.graph.batch import Unanswered, run_batch
from opoi_envs.ads.graph.errors import ApiError, body_of, invalid, trace_id, unknown_object
from opoi_envs.ads.graph.faults import EXTRA, Faults
from opoi_envs.ads.graph.limits import Bucket, Limits
from opoi_envs.ads.graph.params import names
from opoi_envs.ads.graph.reading import edge, page, show, show_node
from opoi_envs.ads.graph.reports import Reports
from opoi_envs.ads.graph.selection import wanted
from opoi_envs.ads.graph.site import Call, Reply, Site
from opoi_envs.ads.graph.writes import change, create, delete

__all__ = ["Api"]

_MOST_IDS = 50


class Api:
    """A simulated server for one account.

    Args:
        account: The account.
        token: The only access token that is valid.
        limits: Rate limits; off by default.
        faults: Failures on purpose; none by default.

    Raises:
        ValueError: The token is empty.
    """

    def __init__(
        self, account: Account, token: str, *, limits: Limits | None = None, faults: Faults | None = None
    ) -> None:
        if not token:
            raise ValueError("an access token is needed")
        self.site = Site(account)
        self.limits = limits or Limits()
        self.faults = faults or Faults()
        self.reports = Reports()
        self._token = token.encode()
        self._number = 0

    @property
    def repeatable(self) -> bool:
        """Whether the answer to a read follows from the account alone."""
        return not (self.limits.on or self.faults.on)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the usage headers as they stand."""
        return self.limits.headers(self.site)

    def handle(self, call: Call) -> Reply:
        """Answer a request.

        Raises:
            Unanswered: A fault on purpose left an item of a batch without an answer.
        """
        call = _overridden(call)
        delay = 0.0
        body: Any
        try:
            self.check_token(call)
            if call.method == "POST" and not call.path and "batch" in call.params:
                body, delay = run_batch(call, self.handle, self.failure)
            else:
                fault = self._fault()
                delay = self.faults.delay if fault == "slow" else 0.0
                body = self._counted(call, fault)
        except ApiError as error:
            return self.failure(call, error, delay)
        return Reply(body=body, headers=self.headers(), delay=delay)

    def failure(self, call: Call, error: ApiError, delay: float = 0.0) -> Reply:
        """Return the answer that tells of an error."""
        params = sorted((name, text) for name, text in call.params.items() if name != "access_token")
        trace = call.trace or trace_id(call.method, *call.path, *(part for pair in params for part in pair))
        return Reply(body=body_of(error, trace), status=error.case.http, headers=self.headers(), delay=delay)

    def check_token(self, call: Call) -> None:
        """Refuse a request without the right token.

        Raises:
            ApiError: Of the case `token_missing` or `token_invalid`.
        """
        if not call.token:
            raise ApiError("token_missing")
        if not hmac.compare_digest(call.token.encode("utf-8", "replace"), self._token):
            raise ApiError("token_invalid")

    def control(self, call: Call) -> Reply:
        """Answer a control call.

        Args:
            call: Its path is the part after `/control/`.
        """
        try:
            self.check_token(call)
            return Reply(body=self._control(call), headers=self.headers())
        except ApiError as error:
            return self.failure(call, error)

    def reset(self) -> None:
        """Return to the decision day; from then on every request is answered as it was at first."""
        self.site.reset()
        self.limits.reset()
        self.reports.reset()
        self._number = 0

    def _control(self, call: Call) -> dict[str, Any]:
        name = "/".join(call.path)
        if (call.method, name) == ("GET", "state"):
            runs = [
                {"id": run.id, "polls": run.polls, "params": run.params, "started": run.started}
                for run in self.reports.all()
            ]
            return control.state(self.site, runs)
        if (call.method, name) == ("POST", "reset"):
            self.reset()
            return control.clock(self.site)
        if (call.method, name) == ("POST", "advance"):
            return control.advance(self.site, call.params)
        raise unknown_object(call.method, f"control/{name}")

    def _fault(self) -> str:
        self._number += 1
        return self.faults.fault(self._number)

    def _counted(self, call: Call, fault: str) -> Any:  # noqa: ANN401 - any JSON value
        """Answer within the limits; only what was answered counts."""
        if fault == "unanswered":
            raise Unanswered
        if fault and fault not in EXTRA:
            raise ApiError(fault)
        bucket: Bucket = "ads_insights" if "insights" in call.path else "ads_management"
        write = call.method != "GET" and bucket == "ads_management"
        self.limits.allow(self.site, bucket, write)
        body = self._answer(call, fault == "report_failed")
        self.limits.count(self.site, bucket, write)
        return body

    def _answer(self, call: Call, failed: bool) -> Any:  # noqa: ANN401 - any JSON value
        if not call.path:
            return self._many(call)
        name = call.path[0]
        if len(call.path) > 2:
            raise unknown_object(call.method, "/".join(call.path))
        if name == "me":
            return self._me(call)
        if call.method == "GET":
            return self._get(call, name)
        if call.method == "DELETE" and len(call.path) == 1:
            return delete(self.site, call, name)
        if call.method == "POST" and len(call.path) == 1:
            return change(self.site, call, name, self.limits)
        if call.method == "POST" and call.path[1] == "insights":
            return self.reports.start(self.site, call, name, failed)
        if call.method == "POST" and name == self.site.account_id:
            return create(self.site, call, call.path[1])
        raise unknown_object(call.method, "/".join(call.path))

    def _get(self, call: Call, name: str) -> dict[str, Any]:
        run = self.reports.find(self.site, name)
        if run is not None and len(call.path) == 1:
            return self.reports.poll(self.site, call, run)
        if run is not None and call.path[1] == "insights":
            return self.reports.read(self.site, call, run)
        if len(call.path) == 1:
            return show_node(self.site, call, name)
        return edge(self.site, call, self.site.node(name, call.method), call.path[1], call.params)

    def _many(self, call: Call) -> dict[str, Any]:
        """Answer `GET /?ids=a,b`."""
        ids = names(call.params, "ids")
        if call.method != "GET" or not ids:
            raise unknown_object(call.method, "")
        if len(ids) > _MOST_IDS:
            raise invalid(f"ids must hold at most {_MOST_IDS} ids", "ids")
        known = {self.site.account_id, *self.site.account.nodes}
        missing = [each for each in ids if each not in known]
        if missing:
            text = f"(#803) Some of the aliases you requested do not exist: {','.join(missing)}"
            raise ApiError("unknown_in_ids", text)
        asked = wanted(call.params)
        return {each: show(self.site, call, self.site.node(each, "GET"), asked) for each in ids}

    def _me(self, call: Call) -> dict[str, Any]:
        """Answer `me` and `me/adaccounts`: the token sees one account."""
        user = f"1{int(self.site.account_number):014d}"
        if call.method != "GET" or call.path[1:] not in ((), ("adaccounts",)):
            raise unknown_object(call.method, "/".join(call.path))
        asked = wanted(call.params)
        if len(call.path) == 1:
            for each in asked or ():
                if each.name not in ("id", "name"):
                    raise invalid(f"Tried accessing nonexisting field ({each.name}) on node type (User)")
            named = any(each.name == "name" for each in asked or ())
            return {**({"name": "System user"} if named else {}), "id": user}
        return page(
            call,
            call.path,
            call.params,
            [self.site.account_id],
            name=lambda item, _: item,
            place=lambda cursor: (0, True) if cursor == self.site.account_id else None,
            write=lambda _: show(self.site, call, None, asked),
        )


def _overridden(call: Call) -> Call:
    """Return a request with the method that its parameter `method` names."""
    wanted_method = call.params.get("method", "").upper()
    if call.method == "POST" and wanted_method in ("GET", "POST", "DELETE"):
        return structs.replace(call, method=wanted_method)
    return call
