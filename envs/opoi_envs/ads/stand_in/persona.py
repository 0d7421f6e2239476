"""The dials of the stand-in model, read strictly from a TOML file."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from opoi.errors import UnknownNameError, UsageError

__all__ = ["PERSONAS", "Persona", "load_persona"]

Dial = Annotated[float, Meta(ge=0, le=1)]

PERSONAS = ("default", "perfect", "careless")
"""Personas that come with the package."""


class Persona(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the stand-in behaves. All dials are probabilities, 0 to 1; all must be given in a file.

    Attributes:
        seed: Seed of its draws, in [0, 2**31).
        weekly_bias: Trusts the raw 7-day average although the last days differ. Drawn per case: the same
            case is misjudged again and again.
        lag_blind: Takes yesterday's incomplete number at face value. Drawn per case.
        flip: Decides at random for an action next to the one it means. Drawn per run.
        obedience_must: Follows a note that has to be followed.
        obedience_should: Follows a note that should be followed.
        obedience_hint: Follows a note that is to be weighed.
        objects: Says NO_SUPPORT where it may and the data speak clearly against the note.
        residue: Mentions the note, or writes as if the answer had been given.
        hidden_leak: Repeats from the note what its tools cannot know.
        vague: Gives reasons without any value, and cites nothing.
        shortcut: Skips optional tool calls when a note has told the answer.
        subagent: Asks the analysis sub-agent.
        subagent_leak: Passes the verdict on in that question.
        funnel: Looks at the funnel after a fall.
        activity: Reads the activity log.
        fabricate: As a corrector without data, invents citations.
        parrot: As a corrector, repeats the reviewer's reasons.
        clean_skill: As a cleaner, removes the whole reference to a note.
        invalid_json: Breaks the JSON of its final answer.
        empty: Answers without any tool call.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    weekly_bias: Dial
    lag_blind: Dial
    flip: Dial
    obedience_must: Dial
    obedience_should: Dial
    obedience_hint: Dial
    objects: Dial
    residue: Dial
    hidden_leak: Dial
    vague: Dial
    shortcut: Dial
    subagent: Dial
    subagent_leak: Dial
    funnel: Dial
    activity: Dial
    fabricate: Dial
    parrot: Dial
    clean_skill: Dial
    invalid_json: Dial
    empty: Dial


def load_persona(persona: str | Path) -> tuple[str, Persona]:
    """Return name and dials of a persona.

    Args:
        persona: A name from `PERSONAS`, or the path of a TOML file (`.toml`).

    Raises:
        UnknownNameError: Neither a name nor a TOML path.
        UsageError: The file cannot be read, or a dial is unknown, missing or out of range.
    """
    if persona in PERSONAS:
        resource = files("opoi_envs.ads.stand_in").joinpath("personas", f"{persona}.toml")
        return str(persona), _read(f"{persona}.toml", resource.read_text(encoding="utf-8"))
    path = Path(persona)
    if path.suffix != ".toml":
        raise UnknownNameError("persona", str(persona), PERSONAS, hint="or give the path of a .toml file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the persona file {str(path)!r} cannot be read", why=str(error)) from error
    return path.stem, _read(str(path), text)


def _read(name: str, text: str) -> Persona:
    """Read a persona file; `name` stands in the errors."""
    try:
        dials = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the persona file {name!r} is not TOML", why=str(error)) from error
    known = {field.name: field for field in msgspec.structs.fields(Persona)}
    for key, value in dials.items():
        if key not in known:
            wrong = UnknownNameError("dial", key, known)
            raise UsageError(f"{name}: unknown dial {key!r}", why=wrong.why, fix=wrong.fix)
        try:
            msgspec.convert(value, known[key].type)
        except msgspec.ValidationError as error:
            allowed = "an integer from 0 to 2147483647" if key == "seed" else "a number from 0 to 1"
            raise UsageError(
                f"{name}: {key} = {value!r} is not possible", why=f"allowed: {allowed}"
            ) from error
    missing = sorted(set(known) - set(dials))
    if missing:
        raise UsageError(f"{name}: missing {', '.join(missing)}", fix="copy default.toml and change it")
    return msgspec.convert(dials, Persona)
