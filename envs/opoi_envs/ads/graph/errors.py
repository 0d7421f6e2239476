"""The errors of the API, as data: one row a case, and the body that a client gets.

Codes, subcodes and HTTP statuses follow section 9 of the contract; the codes of the cases `report_not_ready`
and `too_far_back` are from memory of the public documentation.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from opoi_envs.ads.account.nodes import Refused

__all__ = ["CASES", "ApiError", "Case", "body_of", "from_refused", "invalid", "trace_id", "unknown_object"]

OAUTH = "OAuthException"
METHOD = "GraphMethodException"


class Case(Struct, frozen=True):
    """One kind of failure.

    Attributes:
        code: What the SDK reads.
        subcode: None where there is none.
        message: The usual message; a request may give a better one.
        type: `OAuthException` or `GraphMethodException`.
        http: HTTP status.
        title: For people; `""` if none.
        advice: For people, what to do; `""` if none.
        transient: Trying again may help.
    """

    code: int
    subcode: int | None
    message: str
    type: str = OAUTH
    http: int = 400
    title: str = ""
    advice: str = ""
    transient: bool = False


_SESSION = "Error validating access token: "
_LIMIT = "There have been too many calls to this ad-account. Wait a bit and try again."

CASES: dict[str, Case] = {
    "token_missing": Case(2500, None, "An active access token must be used to query information."),
    "token_required": Case(104, None, "An access token is required to request this resource."),
    "token_invalid": Case(190, None, "Invalid OAuth access token - Cannot parse access token"),
    "token_expired": Case(190, 463, _SESSION + "Session has expired."),
    "password_changed": Case(190, 460, _SESSION + "The session has been invalidated by a new password."),
    "app_removed": Case(190, 458, _SESSION + "The user has not authorized the application."),
    "checkpoint": Case(190, 459, _SESSION + "The user is enrolled in a blocking, logged-in checkpoint."),
    "invalid": Case(100, None, "(#100) Invalid parameter"),
    "unknown_object": Case(100, 33, "Unsupported request", METHOD),
    "unknown_in_ids": Case(803, None, "(#803) Some of the aliases you requested do not exist", http=404),
    "budget_too_low": Case(100, 1885272, "Invalid parameter", title="Budget is too low"),
    "budget_too_high": Case(100, 1885261, "Invalid parameter", title="Budget is too high"),
    "budget_elsewhere": Case(100, None, "Invalid parameter", title="Budget is set on another level"),
    "deleted": Case(100, 1487056, "Invalid parameter", title="Object was deleted"),
    "too_much_data": Case(
        100,
        1487534,
        "Please reduce the amount of data you're asking for, then retry your request",
        advice="Ask for fewer days, objects or breakdowns, or start an asynchronous report.",
    ),
    "too_slow": Case(
        100, 1504018, "Invalid parameter", title="Request timed out", advice="Try a smaller range, or async."
    ),
    "timed_out": Case(
        2, 1504038, "Service temporarily unavailable", http=500, title="Request timed out", transient=True
    ),
    "too_far_back": Case(
        3018,
        None,
        "(#3018) The start date of the time range cannot be beyond 37 months from the current date",
    ),
    "report_not_ready": Case(
        2601,
        1815107,
        "Error accessing adreport job.",
        title="Loading Async Report Failed",
        advice="The report is not completed: poll it until async_status is Job Completed.",
        transient=True,
    ),
    "app_permission": Case(10, None, "(#10) Application does not have permission for this action", http=403),
    "object_permission": Case(200, None, "(#200) Permissions error", http=403),
    "ads_management": Case(
        294, None, "(#294) Managing advertisements requires the extended permission ads_management", http=403
    ),
    "policy_block": Case(
        368, None, "The action attempted has been deemed abusive or is otherwise disallowed"
    ),
    "app_limit": Case(4, 1504022, "(#4) Application request limit reached", transient=True),
    "app_limit_global": Case(4, 1504039, "(#4) Application request limit reached", transient=True),
    "user_limit": Case(17, 2446079, "(#17) User request limit reached", transient=True),
    "page_limit": Case(32, None, "(#32) Page request limit reached", transient=True),
    "account_limit": Case(
        613, 1487742, "(#613) Calls to this api have exceeded the rate limit.", advice=_LIMIT
    ),
    "budget_limit": Case(
        613,
        1487632,
        "(#613) Calls to this api have exceeded the rate limit.",
        title="Budget changed too often",
        advice="The budget of an ad set can be changed 4 times an hour. Try again in an hour.",
    ),
    "write_limit": Case(
        613,
        5044001,
        "(#613) Calls to this api have exceeded the rate limit.",
        title="Too many writes a second",
    ),
    "insights_limit": Case(80000, 2446079, "(#80000) " + _LIMIT),
    "management_limit": Case(80004, 2446079, "(#80004) " + _LIMIT),
    "unknown": Case(1, None, "An unknown error occurred", http=500, transient=True),
    "transient": Case(
        2, 1504043, "An unexpected error has occurred. Please retry later.", http=500, transient=True
    ),
}
"""Every error that the API can give, by name."""


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        case: Its name in `CASES`.
        message: Instead of the usual message.
        advice: Instead of the usual text for people.
        blame: Names of the parameters to blame.
    """

    def __init__(self, case: str, message: str = "", *, advice: str = "", blame: Sequence[str] = ()) -> None:
        self.case = CASES[case]
        self.name = case
        self.message = message or self.case.message
        self.advice = advice or self.case.advice
        self.blame = tuple(blame)
        super().__init__(self.message)


def invalid(message: str, *blame: str, advice: str = "") -> ApiError:
    """Return an error of code 100: something is wrong with a parameter."""
    return ApiError("invalid", f"(#100) {message}", blame=blame, advice=advice)


def unknown_object(method: str, name: str) -> ApiError:
    """Return the error of an object or edge that is not there."""
    return ApiError(
        "unknown_object",
        f"Unsupported {method.lower()} request. Object with ID '{name}' does not exist, cannot be loaded due "
        "to missing permissions, or does not support this operation",
    )


def from_refused(refused: Refused, method: str, name: str, field: str = "") -> ApiError:
    """Say in the API's words why the account refused.

    Args:
        refused: What the account says.
        method: HTTP method of the request.
        name: Id that the request was for.
        field: The parameter to blame, if the request calls it otherwise than the account does.
    """
    if refused.reason == "unknown_id":
        return unknown_object(method, name)
    blame = field or refused.field
    case = refused.reason if refused.reason in CASES else "invalid"
    message = f"(#100) {refused.message}" if case == "invalid" else ""
    advice = ". ".join(part for part in (refused.message, refused.hint) if part)
    return ApiError(case, message, advice=advice, blame=(blame,) if blame else ())


def body_of(error: ApiError, trace: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    case = error.case
    inner: dict[str, Any] = {"message": error.message, "type": case.type, "code": case.code}
    if case.subcode is not None:
        inner["error_subcode"] = case.subcode
    if case.transient or case.title:
        inner["is_transient"] = case.transient
    if case.title:
        inner["error_user_title"] = case.title
    if error.advice:
        inner["error_user_msg"] = error.advice
    if error.blame:
        inner["error_data"] = {"blame_field_specs": [[name] for name in error.blame]}
    inner["fbtrace_id"] = trace
    return {"error": inner}


def trace_id(*parts: str) -> str:
    """Return the id of a request: the same for the same request."""
    text = "\0".join(parts).encode("utf-8", "replace")
    return "A" + base64.urlsafe_b64encode(blake2b(text, digest_size=16).digest()).decode().rstrip("=")
