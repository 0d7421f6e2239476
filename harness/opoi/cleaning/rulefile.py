"""Rule files: TOML that says what to match, where, what to do about it, and why.

Version 1. A file holds a name, other files that it builds on, references to rules in Python, and rules::

    version = 1
    name = "mine"                    # stands before the id in every count; default: name of the file
    extends = ["residue"]            # built-in rules, or paths relative to this file
    python = ["mine.py:rules"]       # rules as generators

    [[rule]]
    id = "team-lead"
    why = "the student has no team lead"
    match = { pattern = 'team lead (said|wants)' }
    do = "delete sentence"
    examples = { match = ["The team lead said so."], pass = ["The team leads by 3."] }

`examples` may be tables where a rule needs more than a text; see `Example`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from opoi.errors import UsageError
from opoi.passages import Kind
from opoi.types import Fact

__all__ = [
    "ACTIONS",
    "BUILT_IN",
    "Action",
    "Example",
    "Examples",
    "Match",
    "RuleFile",
    "RuleSpec",
    "SourceName",
    "Where",
    "complaint",
    "read_rule_file",
]

BUILT_IN = Path(__file__).parent / "built_in"
"""Folder of the built-in rule files; `extends = ["residue"]` names one of them."""

Action = Literal["delete span", "delete sentence", "replace", "resample turn", "reject trace"]
ACTIONS: tuple[Action, ...] = ("delete span", "delete sentence", "replace", "resample turn", "reject trace")

SourceName = Literal["hindsight", "external", "oracle", "ambiguous", "none"]
"""Where a claim comes from, as far as a rule can ask for it; see `opoi.provenance.ledger`."""

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class _Table(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of a rule file: unknown keys are errors."""


class Match(_Table, frozen=True, kw_only=True):
    """What a rule matches: exactly one of the first six.

    Attributes:
        pattern: RE2 pattern, without regard to case. A space stands for any white space; borders and classes
            are ASCII. Texts are folded first, see `opoi.folding`.
        literals: Words and phrases, whole words only, else as a pattern.
        source: Claims (numbers, dates, ids, causes) whose only source is one of these.
        overlap: Least number of words in a row that the text shares with what the oracle said, and with
            nothing that the agent could see.
        nonce: The random marks of the notes that the trace records.
        detector: What this detector of leakage takes for a leak, see `opoi leaks --list`.
        case: Upper and lower case are told apart.
    """

    pattern: str = ""
    literals: tuple[str, ...] = ()
    source: tuple[SourceName, ...] = ()
    overlap: Annotated[int, Meta(ge=0, le=100)] = 0
    nonce: bool = False
    detector: str = ""
    case: bool = False

    @property
    def kinds(self) -> list[str]:
        """Which of the six are given."""
        names = ("pattern", "literals", "source", "overlap", "nonce", "detector")
        return [name for name in names if getattr(self, name)]


class Where(_Table, frozen=True, kw_only=True):
    """Where a rule looks.

    Attributes:
        roles: Whose messages.
        fields: Which texts: `prose`, `json` (keys and values of the decision and of other objects),
            `argument` (keys and values of tool arguments), `name` (of a tool).
        turns: Numbers of the assistant's turns, from 1, or from the end as -1; none means all.
        agents: `main`, the nested runs of `sub`-agents, or `all`.
    """

    roles: tuple[Literal["system", "user", "assistant", "tool"], ...] = ("assistant",)
    fields: tuple[Kind, ...] = ("prose",)
    turns: tuple[int, ...] = ()
    agents: Literal["main", "sub", "all"] = "main"


class Example(_Table, frozen=True, kw_only=True):
    """A text that a rule must match or must not, with what it needs to tell.

    Attributes:
        text: What an agent wrote.
        oracle: What the oracle had said.
        nonce: The mark of the note.
        observed: Facts that a tool had shown.
        hidden: Facts that no tool shows.
    """

    text: str
    oracle: str = ""
    nonce: str = ""
    observed: tuple[Fact, ...] = ()
    hidden: tuple[Fact, ...] = ()


class Examples(_Table, frozen=True, kw_only=True, rename={"passed": "pass"}):
    """What a rule must match, and what it must let pass (`pass` in the file)."""

    match: tuple[str | Example, ...] = ()
    passed: tuple[str | Example, ...] = ()


class RuleSpec(_Table, frozen=True, kw_only=True, rename={"replacement": "with"}):
    """One rule of a file.

    Attributes:
        id: Letters, digits, `_`, `.` and `-`; unique in the file.
        match: What it matches.
        why: One line for people: why this must not be in a data set.
        do: What happens to a match in prose that may be edited. A match elsewhere drops the trace.
        where: Where it looks.
        replacement: For `replace`: what is put in its place (`with` in the file).
        reason: Drop reason; the rule's full id if empty.
        examples: What it must match and what it must let pass.
    """

    id: Annotated[str, Meta(pattern=_ID)]
    match: Match
    why: Annotated[str, Meta(min_length=1, max_length=200)]
    do: Action = "delete sentence"
    where: Where = Where()
    replacement: str = ""
    reason: str = ""
    examples: Examples = Examples()


class RuleFile(_Table, frozen=True, kw_only=True):
    """A rule file as it stands; see the head of this module."""

    version: Literal[1]
    name: Annotated[str, Meta(pattern=_ID)] = ""
    why: str = ""
    reason: str = ""
    extends: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    rule: tuple[RuleSpec, ...] = ()


def read_rule_file(path: Path) -> RuleFile:
    """Read one file; those that it extends are not followed.

    Raises:
        UsageError: There is none, it is no TOML, or a key or value does not fit; the message says the line,
            the key and what to do.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no rule file {str(path)!r}", fix="`opoi rules show > R.toml` writes one to start from"
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"the rule file {str(path)!r} cannot be read", why=str(error)) from error
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not TOML",
            why=str(error) or "it is nested too deeply",
            fix="write patterns in single quotes, 'so', where a backslash stands for itself",
        ) from error
    if "version" not in raw:
        raise UsageError(f"{path}: key `version` is missing", fix="begin the file with: version = 1")
    try:
        found = msgspec.convert(raw, RuleFile)
    except msgspec.ValidationError as error:
        raise _misfit(path, text, str(error)) from error
    return _checked(path, text, found)


def _checked(path: Path, text: str, found: RuleFile) -> RuleFile:
    """Check what a schema cannot say."""
    seen: set[str] = set()
    for index, rule in enumerate(found.rule):
        if rule.id in seen:
            raise complaint(path, text, index, "id", f"two rules are called {rule.id!r}", fix="rename one")
        seen.add(rule.id)
        kinds = rule.match.kinds
        if len(kinds) != 1:
            raise complaint(
                path,
                text,
                index,
                "match",
                f"rule {rule.id!r} matches {' and '.join(kinds) or 'nothing'}",
                fix="give one of pattern, literals, source, overlap, nonce, detector; make a rule of each",
            )
        if any(not literal.strip() for literal in rule.match.literals):
            raise complaint(path, text, index, "literals", f"rule {rule.id!r} has an empty literal")
        if 0 in rule.where.turns:
            raise complaint(path, text, index, "turns", "turns count from 1, or from the end as -1")
        if bool(rule.replacement) != (rule.do == "replace"):
            raise complaint(
                path,
                text,
                index,
                "with" if rule.replacement else "do",
                f'rule {rule.id!r}: `with` and do = "replace" go together',
                fix='to replace by nothing, say do = "delete span"',
            )
    return found


def complaint(path: Path, text: str, index: int, key: str, what: str, *, fix: str = "") -> UsageError:
    """Return an error about one key of one rule, with its line."""
    return UsageError(f"{path}, line {_line(text, index, [key])}, key `{key}`: {what}", fix=fix)


def _misfit(path: Path, text: str, message: str) -> UsageError:
    """Return the error for a value that does not fit the schema, from the decoder's words."""
    what, _, place = message.partition(" - at `$")
    keys = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", place.rstrip("`"))]
    unknown = re.search(r"unknown field `([^`]*)`", what)
    missing = re.search(r"missing required field `([^`]*)`", what)
    named = unknown or missing
    index = keys[1] if len(keys) > 1 and keys[0] == "rule" and isinstance(keys[1], int) else None
    last = named[1] if named else next((key for key in reversed(keys) if isinstance(key, str)), "")
    known = _known(keys)
    if unknown:
        near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
        fix = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        what = "there is no such key"
    elif missing:
        what, fix = "it is missing", f"add {last} = ..."
    else:
        fix = _choices(what, last)
    named_keys = [key for key in keys if isinstance(key, str) and key != "rule"]
    if named_keys[-1:] != [last]:
        named_keys.append(last)
    line = _line(text, index, named_keys)
    return UsageError(f"{path}, line {line}, key `{'.'.join(named_keys)}`: {what}", fix=fix)


def _known(keys: list[Any]) -> list[str]:
    """Return the keys of the table at a path."""
    tables: dict[str, type[_Table]] = {"match": Match, "where": Where, "examples": Examples}
    named = [key for key in keys if isinstance(key, str)]
    kind: type[_Table] = RuleFile if not named else tables.get(named[-1], RuleSpec)
    if "examples" in named and named[-1] != "examples":
        kind = Example
    return list(kind.__struct_encode_fields__)


_ALLOWED: dict[str, tuple[str, ...]] = {
    "version": ("1",),
    "do": ACTIONS,
    "source": get_args(SourceName),
    "roles": ("system", "user", "assistant", "tool"),
    "fields": get_args(Kind),
    "agents": ("main", "sub", "all"),
}


def _choices(what: str, key: str) -> str:
    if "enum" in what:
        return f"one of: {', '.join(_ALLOWED.get(key, ()))}" if key in _ALLOWED else "see docs/cleaning.md"
    if "Expected `array`" in what:
        return "write a list: [...]"
    return "docs/cleaning.md says what may stand there"


def _line(text: str, index: int | None, keys: Sequence[str]) -> int:
    """Return the line, from 1, of a key in the file, or of what it should be in where it is not found.

    Args:
        text: The file.
        index: Number of the rule, None for a key outside of rules.
        keys: The key, after the keys of the tables that it is in.
    """
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if re.match(r"\s*\[\[\s*rule\s*\]\]", line)]
    start, end = 0, heads[0] if heads else len(lines)
    if index is not None and index < len(heads):
        start = heads[index]
        end = heads[index + 1] if index + 1 < len(heads) else len(lines)
    place = start
    for key in keys:
        pattern = re.compile(rf"(?:^|[\s{{,.\[]){re.escape(key)}\s*(?:=|\.|\])")
        found = (number for number in range(place, end) if pattern.search(lines[number].split(" #")[0]))
        place = next(found, place)
    return place + 1
