"""The options that several commands share, and from what was typed to setting values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["ENDPOINT", "MODEL", "OPTIONS", "SCORER", "debug", "takes", "taped", "values_of"]

LEVELS = ("C0", "C1", "C2", "C3", "C4", "C5")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class OrNone(click.ParamType[Any]):
    """A number, or the word `none` to send nothing."""

    def __init__(self, number: click.ParamType[Any]) -> None:
        self.name = number.name
        self._number = number

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        return value if value == "none" else self._number.convert(value, param, ctx)


class Level(click.ParamType[Any]):
    """A cleaning level, or the path of a rule file."""

    name = "level|file.toml"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if str(value).endswith(".toml") or str(value) in LEVELS:
            return value
        return self.fail(f"{value!r} is neither one of {', '.join(LEVELS)} nor a .toml file", param, ctx)


def setting(*names: str, **options: Any) -> Decorator:
    """Return an option whose absence leaves the setting as the config file or the manifest has it."""
    return click.option(*names, default=None, **options)


OPTIONS: dict[str, Decorator] = {
    "suite": setting("--suite", metavar="REF", help="Registered name, module:attr or file.py:attr.  [ads]"),
    "n": setting("--n", type=click.IntRange(1), help="Number of scenarios.  [60]"),
    "seed": setting("--seed", type=int, help="Seed of everything.  [0]"),
    "strategies": setting("--strategies", metavar="A,B", help="Arms to make.  [opoi,opcd]"),
    "runs": setting("--runs", type=click.IntRange(1), help="Repetitions, for consensus.  [3]"),
    "turns": setting("--turns", type=click.IntRange(1), help="Budget of model calls for a rollout.  [12]"),
    "expert": setting("--expert", metavar="NAME", help="Expert of the suite.  [its first]"),
    "model": setting(
        "--model",
        metavar="REF",
        help="stand-in, stand-in:PERSONA, stand-in:FILE.toml, a base URL such as "
        "http://127.0.0.1:8000/v1, module:attr or file.py:attr.  [stand-in]",
    ),
    "model_name": setting("--model-name", metavar="NAME", help="Name of the model at that URL."),
    "corrector_model": setting(
        "--corrector-model",
        metavar="REF",
        help="Bare model of OPCD: a reference, or a model name at the same URL.  [the agent's]",
    ),
    "corrector_name": setting("--corrector-name", metavar="NAME", help="Name of the model at its URL."),
    "clean": setting(
        "--clean",
        type=Level(),
        help="Cleaning level C0 to C5, which `opoi list` explains, or a rule file (.toml).  [C2]",
    ),
    "export": setting(
        "--export",
        type=click.Choice(["first", "all"]),
        help="Kept traces of a scenario that go into a data set.  [first]",
    ),
    "scorers": setting(
        "--scorers",
        metavar="A,B",
        help="Models that score the kept traces: names at the agent's URL, or NAME@URL; none for no scores.  "
        "[the agent, where its endpoint can]",
    ),
    "resamples": setting("--resamples", type=click.IntRange(100), help="Bootstrap resamples.  [10000]"),
    "concurrency": setting(
        "--concurrency",
        type=click.IntRange(0, 1024),
        help="Most items under way at once; calls to an endpoint begin with 4 and become more while it keeps "
        "up.  [0: 1 in this process, 64 for an endpoint]",
    ),
    "max_calls": setting(
        "--max-calls", type=click.IntRange(0), help="Stop in order after so many requests to endpoints."
    ),
    "max_tokens_total": setting(
        "--max-tokens-total", type=click.IntRange(0), help="The same for tokens, read and written."
    ),
    "prices": setting(
        "--prices",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE.toml",
        help='What a million tokens cost: ["MODEL NAME"] with input = and output =.',
    ),
    "temperature": setting(
        "--temperature", type=OrNone(click.FloatRange(0)), help="For endpoints; none sends none.  [0.7]"
    ),
    "max_tokens": setting(
        "--max-tokens", type=OrNone(click.IntRange(1)), help="For endpoints; none sends none.  [1024]"
    ),
    "timeout": setting("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds.  [120]"),
    "retries": setting("--retries", type=click.IntRange(0), help="Tries after the first.  [2]"),
    "stream": setting("--stream/--no-stream", help="Ask endpoints for answers as streams.  [no]"),
    "tools": setting(
        "--tools",
        type=click.Choice(["auto", "native", "text"]),
        help="How endpoints are offered tools: natively, or described in text.  [auto: what the probe finds]",
    ),
    "logprobs": setting(
        "--logprobs",
        type=click.Choice(["auto", "off"]),
        help="Whether endpoints are asked for log-probabilities of what they write.  [auto: where the probe "
        "believes them]",
    ),
    "api_key_env": setting(
        "--api-key-env", metavar="VAR", help="Environment variable with the key.  [OPENAI_API_KEY]"
    ),
    "config": click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="The same settings as TOML."
    ),
}
ENDPOINT = ("temperature", "max_tokens", "timeout", "retries", "stream", "tools", "api_key_env")
SCORER = (
    "scorers",
    "concurrency",
    "max_calls",
    "max_tokens_total",
    "prices",
    "timeout",
    "retries",
    "api_key_env",
)
MODEL = (
    *("model", "model_name", "concurrency", "max_calls", "max_tokens_total", "prices"),
    *(*ENDPOINT, "logprobs"),
)


def taped(command: Any) -> Any:  # noqa: ANN401 - a function or a command, as click takes both
    """Add `--record` and `--replay` to a command that asks models."""
    command = click.option(
        "--replay",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="Answer every request from a tape; no endpoint is asked, no key is needed.",
    )(command)
    return click.option(
        "--record",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Keep every request to an endpoint and its answer on a tape; one that exists is continued.",
    )(command)


debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
"""`main` looks for it among the words: an error may come before any command has its options."""


def takes(*settings: str) -> Decorator:
    """Return a decorator that adds the named settings, `--force`, `--quiet` and `--debug`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = debug(command)
        command = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")(command)
        command = click.option("--force", is_flag=True, help="Do it again; overwrite hand edits.")(command)
        for name in reversed(settings):
            command = OPTIONS[name](command)
        return command

    return decorate


def values_of(given: dict[str, Any]) -> dict[str, Any]:
    """Turn what click parsed into setting values: absent ones left out, lists split, sections nested."""
    from opoi.settings import read_settings, read_table

    path = given.pop("config", None)
    values = read_settings(path) if path else {}
    given = {key: value for key, value in given.items() if value is not None}
    endpoint = {key: given.pop(key) for key in (*ENDPOINT, "logprobs") if key in given}
    if endpoint:
        values["endpoint"] = {**values.get("endpoint", {}), **endpoint}
    if "prices" in given:
        given["prices"] = read_table(given["prices"])
    for name in ("strategies", "scorers"):
        if name in given:
            given[name] = [entry.strip() for entry in given[name].split(",") if entry.strip()]
    return {**values, **given}
