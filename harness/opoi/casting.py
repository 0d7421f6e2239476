"""Who plays: from the settings of a run to its suite and models, and what of them its results depend on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from opoi.errors import UsageError
from opoi.models.endpoint.capabilities import Capabilities, Way
from opoi.models.endpoint.dialect import Dialect
from opoi.models.resolve import STAND_IN, check_reference, plain_dialect, resolve_model
from opoi.models.session import Session
from opoi.protocols import Model, Suite
from opoi.registry import load_strategy, load_suite
from opoi.settings import Settings
from opoi.store import digest

__all__ = ["Casting", "content_of", "endpoint_key"]


class Casting:
    """The suite and the models that the settings name, each made when it is first asked for.

    Args:
        settings: The settings of the run.
        session: Opens the lines to endpoints.
        endpoints: What is known of endpoints, by `endpoint_key`.
    """

    def __init__(
        self, settings: Settings, session: Session, endpoints: Mapping[str, Capabilities] | None = None
    ) -> None:
        self._settings = settings
        self._session = session
        self._endpoints = endpoints or {}

    @cached_property
    def suite(self) -> Suite:
        """The suite of the run."""
        return load_suite(self._settings.suite)

    @cached_property
    def agent(self) -> Model:
        """The model that acts as the agent."""
        return self._model(self._settings.model, self._settings.model_name)

    @cached_property
    def corrector(self) -> Model:
        """The bare model of off-policy methods."""
        reference, name = self._corrector()
        return self._model(reference, name) if self._settings.corrector_model else self.agent

    def _corrector(self) -> tuple[str, str]:
        """Return reference and model name of the corrector."""
        settings, wanted = self._settings, self._settings.corrector_model
        if not wanted:
            return settings.model, settings.model_name
        if wanted == STAND_IN or wanted.startswith(f"{STAND_IN}:") or "://" in wanted or ".py:" in wanted:
            return wanted, settings.corrector_name
        if settings.remote:  # a model name at the agent's URL; it may hold a colon (`llama3:8b`)
            return settings.model, wanted
        if ":" in wanted:
            return wanted, ""
        raise UsageError(
            f"the corrector {wanted!r} is a model name, but the agent is not an endpoint",
            fix="give a reference: stand-in:PERSONA, a URL, module:attr or file.py:attr",
        )

    @cached_property
    def scorers(self) -> tuple[tuple[str, str], ...]:
        """Base URL and model name of each model that is to score traces; they go by their names.

        Raises:
            UsageError: A name cannot be looked up anywhere, or stands twice.
        """
        settings = self._settings
        if not settings.scorers:
            return ((settings.model, settings.model_name),) if settings.remote else ()
        if settings.scorers == ("none",):
            return ()
        found = [self._scorer(entry) for entry in settings.scorers]
        names = [name for _, name in found]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"the scorer {name!r} is named twice",
                    why="scores go by the names of models, not by where they are",
                    fix="leave one out, or serve it under another name",
                )
        return tuple(found)

    def _scorer(self, entry: str) -> tuple[str, str]:
        """Return base URL and model name of an entry of `scorers`; names may hold `@` and colons."""
        named = re.fullmatch(r"(.+?)@(https?://.+)", entry)
        if named is not None:
            return named[2], named[1]
        if self._settings.remote and "://" not in entry and entry != "none":
            return self._settings.model, entry
        why = "`none` stands alone" if entry == "none" else "the models of this run are in its process"
        raise UsageError(
            f"the scorer {entry!r} is not a model of an endpoint",
            why="it is a URL without a model" if "://" in entry else why,
            fix="give NAME@URL, for example --scorers tiny@http://127.0.0.1:8000/v1, or --scorers none",
        )

    @cached_property
    def scoring(self) -> Mapping[str, Model]:
        """The scorers by name."""
        agent = (self._settings.model, self._settings.model_name)
        return {
            name: self.agent if (url, name) == agent else self._model(url, name) for url, name in self.scorers
        }

    def way_of(self, name: str) -> Way | None:
        """Return the way in which a scorer scores given texts; None where it cannot, or was not probed."""
        url = next(url for url, each in self.scorers if each == name)
        found = self._endpoints.get(endpoint_key(url, name))
        return found.scoring if found is not None else None

    def _model(self, reference: str, name: str) -> Model:
        endpoint = self._settings.endpoint
        named = msgspec.structs.replace(endpoint, name=name or endpoint.name)
        return resolve_model(
            reference,
            suite=self.suite,
            settings=named,
            session=self._session,
            dialect=self._dialect(reference, named.name),
        )

    def _dialect(self, reference: str, name: str) -> Dialect:
        """Return how an endpoint wants its requests, as far as it is known."""
        endpoint = self._settings.endpoint
        found = self._endpoints.get(endpoint_key(reference, name))
        if found is None:
            return plain_dialect(endpoint)
        return found.dialect(stream=endpoint.stream, tools=endpoint.tools, logprobs=endpoint.logprobs)

    def check_references(self) -> None:
        """Check the model references as far as that goes without asking anyone.

        Raises:
            UsageError: One cannot be used.
        """
        scorers = [url for url, _ in self.scorers]
        for reference in (self._settings.model, self._corrector()[0], *scorers):
            check_reference(reference, self._settings.endpoint)

    def settled(self) -> Settings:
        """Return the settings with the names of models that only the endpoints told."""
        settings = self._settings
        changes = {}
        if settings.remote and not settings.model_name:
            changes["model_name"] = self.agent.name
        if "://" in settings.corrector_model and not settings.corrector_name:
            changes["corrector_name"] = self.corrector.name
        return msgspec.structs.replace(settings, **changes)

    # ------------------------------------------------------------ what results depend on

    @property
    def suite_identity(self) -> object:
        """The suite's reference, with the content of the file that it names."""
        return content_of(self._settings.suite)

    @property
    def agent_identity(self) -> object:
        """What of the agent decides about the text that comes out."""
        return self._identity(self._settings.model, self._settings.model_name, "agent")

    @property
    def corrector_identity(self) -> object:
        """The same of the corrector."""
        return self._identity(*self._corrector(), "corrector")

    def _identity(self, reference: str, name: str, role: str) -> object:
        """An endpoint goes by its model's name and sampling: the same server may come up elsewhere.

        Whether it is asked for log-probabilities makes no difference: the texts are the same, and nobody
        wants to pay for them again because figures are to come with them, or not.
        """
        endpoint = self._settings.endpoint
        if "://" in reference:
            named = name or endpoint.name
            tools = self._dialect(reference, named).tools
            return ["endpoint", named, endpoint.temperature, endpoint.max_tokens, tools]
        return [content_of(reference), getattr(getattr(self, role), "identity", None)]

    def resolved(self) -> dict[str, Any]:
        """Return what the settings come down to: the expert, every field of every strategy, the models."""
        settings = self._settings
        strategies = {arm.name: load_strategy(arm.use, arm.settings) for arm in settings.arms()}
        return {
            "expert": settings.expert or next(iter(self.suite.experts)),
            "strategies": {
                name: strategy if isinstance(strategy, msgspec.Struct) else {}
                for name, strategy in strategies.items()
            },
            "agent": self.agent_identity,
            "corrector": self.corrector_identity,
        }


def endpoint_key(url: str, model: str) -> str:
    """Return the key under which a manifest keeps what is known of a model at an endpoint."""
    return f"{model} at {url.rstrip('/')}"


def content_of(reference: str) -> object:
    """Return a reference with the digest of the file it names, where it names one."""
    for part in (reference.partition(":")[2], reference.rpartition(":")[0]):
        if part.endswith((".toml", ".py")) and Path(part).is_file():
            return {"reference": reference, "sha256": digest(Path(part))}
    return reference
