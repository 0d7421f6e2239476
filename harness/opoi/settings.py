"""The settings of a run: one struct, from the command line, from a TOML file, or from a manifest."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from opoi.errors import UnknownNameError, UsageError
from opoi.models.meter import Price
from opoi.models.resolve import ModelSettings

__all__ = ["ArmSettings", "Settings", "merge", "read_settings", "read_table"]

Count = Annotated[int, Meta(ge=1)]


class ArmSettings(Struct, frozen=True):
    """One arm: a strategy with settings of its own.

    Attributes:
        name: Name of the arm, in files and tables.
        use: Reference of the strategy.
        settings: Values for its fields.
    """

    name: str
    use: str
    settings: dict[str, Any]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a run depends on. Every field is an option of `opoi run` and a key of its TOML.

    Attributes:
        suite: Registered name, `module:attr` or `file.py:attr`.
        strategies: Arms to make: registered names, references, or names of `[strategy.NAME]` tables.
        n: Number of scenarios.
        seed: Seed of everything.
        runs: Repetitions of every rollout and every arm, for consensus.
        turns: Budget of model calls for one rollout.
        expert: Name of an expert of the suite, `""` for its first.
        model: The agent: `stand-in`, `stand-in:PERSONA`, a URL, `module:attr` or `file.py:attr`.
        model_name: Name of the model at that URL.
        corrector_model: The bare model of OPCD: another reference, or a model name at the same URL;
            `""` for the agent's model.
        corrector_name: Name of the model, where `corrector_model` is a URL.
        clean: Cleaning level, C0 to C5, or the path of a rule file.
        export: How many kept traces of a scenario go into a data set: the `first`, or `all`.
        scorers: Models that give log-probabilities to the texts of the kept traces: names of models at the
            agent's URL, or `NAME@URL`. Empty for the agent, where its endpoint can (tier T2); `none` alone
            for no scores.
        resamples: Bootstrap resamples.
        concurrency: Most items under way at once; 0 means 1 for a model in this process, 64 for an endpoint.
            Calls to an endpoint begin with a few at once and become more while it keeps up.
        max_calls: Requests to endpoints after which the run stops in order; 0 for any number.
        max_tokens_total: Tokens, read and written, after which it does; 0 for any number.
        prices: What tokens cost, by name of the model.
        endpoint: Sampling and connection settings of endpoints; `"none"` for one that is not to be sent.
        strategy: Settings by arm name; the key `use` names the strategy of an arm with another name.
    """

    suite: str = "ads"
    strategies: tuple[str, ...] = ("opoi", "opcd")
    n: Count = 60
    seed: int = 0
    runs: Count = 3
    turns: Count = 12
    expert: str = ""
    model: str = "stand-in"
    model_name: str = ""
    corrector_model: str = ""
    corrector_name: str = ""
    clean: str = "C2"
    export: Literal["first", "all"] = "first"
    scorers: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    resamples: Annotated[int, Meta(ge=100)] = 10_000
    concurrency: Annotated[int, Meta(ge=0, le=1024)] = 0
    max_calls: Annotated[int, Meta(ge=0)] = 0
    max_tokens_total: Annotated[int, Meta(ge=0)] = 0
    prices: dict[str, Price] = {}
    endpoint: ModelSettings = ModelSettings()
    strategy: dict[str, dict[str, Any]] = {}

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        if not re.fullmatch(r"C[0-5]|.+\.toml", self.clean):
            raise ValueError(f"clean = {self.clean!r} is neither a level, C0 to C5, nor a rule file (.toml)")

    @property
    def remote(self) -> bool:
        """Whether the agent is an endpoint."""
        return "://" in self.model

    @property
    def endpoints(self) -> bool:
        """Whether any model is an endpoint."""
        return self.remote or any("://" in named for named in (self.corrector_model, *self.scorers))

    @property
    def workers(self) -> int:
        """Items under way at once, 0 resolved."""
        return self.concurrency or (64 if self.endpoints else 1)

    def arms(self) -> list[ArmSettings]:
        """Return the arms to make.

        Raises:
            UsageError: A name is used twice, cannot be a file name, or a table belongs to no arm.
        """
        if not self.strategies:
            raise UsageError("no strategy is named", fix="give at least one, e.g. --strategies opoi,opcd")
        arms = []
        for entry in self.strategies:
            table = dict(self.strategy.get(entry, {}))
            use = table.pop("use", entry)
            arms.append(ArmSettings(name=_slug(entry), use=str(use), settings=table))
        names = [arm.name for arm in arms]
        for name in names:
            if names.count(name) > 1 or name == "base":
                raise UsageError(
                    f"the arm name {name!r} is taken",
                    why="`base` is the unsteered arm, and every other name may stand once",
                    fix='give the arm a table with another name: [strategy.NAME] use = "..."',
                )
        unused = [key for key in self.strategy if key not in self.strategies]
        if unused:
            raise UnknownNameError(
                "arm in [strategy.*]:", unused[0], self.strategies, hint="or add it to strategies"
            )
        return arms


def _slug(entry: str) -> str:
    """Return the arm name for an entry of `strategies`: for a reference, its attribute."""
    name = entry.rpartition(":")[2]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UsageError(
            f"{entry!r} cannot be the name of an arm", why="letters, digits, '_', '.' and '-' only"
        )
    return name


def read_settings(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file, checked.

    Raises:
        UsageError: The file is missing, is not TOML, or holds a key or value that does not fit.
    """
    values = read_table(path)
    merge(values, {}, source=str(path))
    return values


def read_table(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file as they are.

    Raises:
        UsageError: The file is missing, or is not TOML.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise UsageError(f"the settings file {str(path)!r} cannot be read", why=str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {str(path)!r} is not TOML", why=str(error)) from error


def merge(
    base: Mapping[str, Any],
    over: Mapping[str, Any],
    *,
    source: str = "the settings",
    taken_up: bool = False,
) -> Settings:
    """Return settings from plain values, those of `over` winning; tables are merged key by key.

    Args:
        base: Values.
        over: Values that win.
        source: What a message calls them.
        taken_up: `base` is a manifest: tables of arms that are not made any more are left out.

    Raises:
        UsageError: A key or value does not fit.
    """
    values = {**base, **over}
    for table in ("endpoint", "prices", "strategy"):
        if isinstance(base.get(table), dict) and isinstance(over.get(table), dict):
            values[table] = {**base[table], **over[table]}
    if taken_up and isinstance(values.get("strategy"), dict):
        made = values.get("strategies", ())
        values["strategy"] = {arm: table for arm, table in values["strategy"].items() if arm in made}
    known = Settings.__struct_fields__
    for key in values:
        if key not in known:
            raise UnknownNameError(f"key in {source}:", key, known)
    endpoint = values.get("endpoint")
    if isinstance(endpoint, dict):  # TOML has no null, a command line has not either
        values["endpoint"] = {key: None if value == "none" else value for key, value in endpoint.items()}
        for key, value in endpoint.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"`{key}` in {source} must be a finite number", why=f"it is {value}")
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"a value in {source} does not fit", why=str(error)) from error
