"""From the text in a setting to a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from opoi.errors import OpoiError, PluginError, UsageError
from opoi.models.endpoint.dialect import Dialect
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.hiding import Key
from opoi.models.endpoint.lines import Line
from opoi.models.session import Session
from opoi.models.urls import checked_url, is_loopback
from opoi.protocols import Model, Suite

__all__ = ["STAND_IN", "ModelSettings", "check_reference", "plain_dialect", "resolve_model"]

STAND_IN = "stand-in"
"""The reference of the model that a suite brings along."""

_FORMS = "stand-in, stand-in:PERSONA, stand-in:FILE.toml, http(s)://HOST/v1, module:attr or path/file.py:attr"

_NO_KEY = Key("no-key")


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How to talk to an endpoint. The stand-in and plug-ins take no notice of it.

    Attributes:
        name: Name of the model on the server; `""` takes the only one that it lists.
        api_key_env: Environment variable that holds the key. The key itself is never a setting.
        temperature: Sampling temperature; None sends none.
        max_tokens: Most tokens of one answer; None sends none.
        timeout: Seconds without a byte from the server before a try is given up.
        retries: Tries after the first.
        stream: Ask for answers as streams.
        tools: How tools are offered: `native`, as `text`, or `auto`: natively where the endpoint can.
        logprobs: Log-probabilities of the tokens of answers: `auto` asks for them where the endpoint gives
            ones that are believed, `off` never.
    """

    name: str = ""
    api_key_env: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "OPENAI_API_KEY"
    temperature: Annotated[float, Meta(ge=0)] | None = 0.7
    max_tokens: Annotated[int, Meta(ge=1)] | None = 1024
    timeout: Annotated[float, Meta(gt=0)] = 120.0
    retries: Annotated[int, Meta(ge=0)] = 2
    stream: bool = False
    tools: Literal["auto", "native", "text"] = "auto"
    logprobs: Literal["auto", "off"] = "auto"


def check_reference(reference: str, settings: ModelSettings) -> None:
    """Check as much of a model reference as can be checked without asking anyone.

    Raises:
        UsageError: A URL cannot be used, or needs a key that is not there.
    """
    if "://" in reference:
        _key(checked_url(reference), settings)


def resolve_model(
    reference: str,
    *,
    suite: Suite | None,
    settings: ModelSettings,
    session: Session | None = None,
    dialect: Dialect | None = None,
) -> Model:
    """Return the model that a reference names.

    Args:
        reference: `stand-in`, `stand-in:PERSONA`, `stand-in:FILE.toml`, a base URL, `module:attr` or
            `path/file.py:attr`; an attribute may be a model, or a class or function that makes one.
        suite: Brings the stand-in; None where no suite is known.
        settings: For endpoints.
        session: Opens the lines to endpoints; None for one of its own.
        dialect: How the endpoint wants its requests; None for the usual way, with what the settings say.

    Raises:
        UsageError: There is no such model, or it needs a name or a key that was not given.
        PluginError: A plug-in broke, or made something that is not a model.
        EndpointError: The endpoint was asked which models it has, and did not say.
    """
    head, _, persona = reference.partition(":")
    if head == STAND_IN:
        return _stand_in(suite, persona, reference)
    if reference.startswith(("http://", "https://")):
        return _endpoint(reference, settings, session or Session(), dialect)
    if ":" not in reference:
        raise UsageError(f"{reference!r} does not name a model", why=f"known forms: {_FORMS}")
    return _plugin(reference)


def _stand_in(suite: Suite | None, persona: str, reference: str) -> Model:
    if suite is None:
        raise UsageError(
            f"{reference!r} is a model of a suite, and no suite is known",
            fix="name the suite, or an endpoint or a plug-in as the model",
        )
    if reference == STAND_IN:
        return suite.stand_in()
    if not persona:
        raise UsageError(f"{reference!r} names no persona", why=f"known forms: {_FORMS}")
    return suite.stand_in(Path(persona) if persona.endswith(".toml") else persona)


def _endpoint(url: str, settings: ModelSettings, session: Session, dialect: Dialect | None) -> Model:
    from opoi.models.endpoint.model import EndpointModel

    url = checked_url(url)
    key = Key("") if session.replaying else _key(url, settings)

    def line(name: str) -> Line:
        return session.line(url, name, key=key, timeout=settings.timeout, retries=settings.retries)

    name = settings.name or _only_model(line(""))
    return EndpointModel(
        line(name),
        name,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        dialect=dialect or plain_dialect(settings),
        halt=session.halt if session.stops else None,
    )


def plain_dialect(settings: ModelSettings) -> Dialect:
    """Return the dialect of an endpoint that was not probed."""
    return Dialect(stream=settings.stream, tools="text" if settings.tools == "text" else "native")


def _key(url: str, settings: ModelSettings) -> Key:
    if os.environ.get(settings.api_key_env):
        return Key(os.environ[settings.api_key_env])
    if is_loopback(url):
        return _NO_KEY
    raise UsageError(
        f"there is no key for {url}",
        why=f"the environment variable {settings.api_key_env} is not set",
        fix="set it (any text will do for a server that wants no key), or name another in `api_key_env`",
    )


def _only_model(line: Line) -> str:
    from opoi.models.endpoint.model import list_models

    try:
        names = list_models(line)
    except EndpointFaultError as fault:
        if fault.kind in ("server", "garbage"):  # not every server lists its models
            fault.fix = f"name the model: --model-name NAME; or {fault.fix}"
        raise
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"which model of {line.where.url}?",
        why=line.where.quote(f"it offers: {', '.join(names)}") if names else "it lists none",
        fix="name the model: --model-name NAME",
    )


def _plugin(reference: str) -> Model:
    from opoi.registry import load

    found = load(reference, "model")
    if isinstance(found, type) or (callable(found) and not isinstance(found, Model)):
        try:
            found = found()
        except OpoiError:
            raise
        except Exception as error:  # code of others: whatever it raises is told as one message
            raise PluginError(
                f"the model {reference!r} cannot be made",
                why=f"{type(error).__name__}: {error}",
                fix="a class or function that is named as a model is called without arguments",
            ) from error
    if not isinstance(found, Model):
        raise PluginError(
            f"{reference!r} is not a model",
            why=f"it is {type(found).__name__!r} and lacks `name` or `complete`",
            fix="see opoi.protocols.Model, and opoi.models.scripted for a small one",
        )
    return found
