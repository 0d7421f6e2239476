"""From references to rules that run: rule files with all that they build on, and rules in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from opoi.cleaning.book import Named
from opoi.cleaning.rulefile import BUILT_IN, RuleFile, complaint, read_rule_file
from opoi.cleaning.scanner import BadPatternError, Scanner, literal_pattern
from opoi.errors import PluginError, UnknownNameError, UsageError
from opoi.protocols import Rule
from opoi.registry import forget, load
from opoi.types import Edit, Reject, Trace

__all__ = ["Library", "built_in", "load_rules"]


class Library(NamedTuple):
    """Rules, in the order in which they are given.

    Attributes:
        name: Of what was loaded.
        named: Those of rule files.
        python: Those in Python.
        files: Every file that was read, for watching.
    """

    name: str
    named: tuple[Named, ...]
    python: tuple[Rule, ...]
    files: tuple[Path, ...]

    @property
    def asks(self) -> bool:
        """Whether a rule may ask a model to write a turn anew."""
        return any(rule.spec.do == "resample turn" for rule in self.named)

    @property
    def identity(self) -> list[object]:
        """What results of these rules depend on: the rules, and the text of those in Python."""
        code = [sha256(path.read_bytes()).hexdigest() for path in self.files if path.suffix == ".py"]
        return [[(name, spec) for name, spec in self.named], [rule.id for rule in self.python], code]


def built_in() -> list[str]:
    """Return the names of the built-in rule files."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load_rules(references: Sequence[str], *, fresh: bool = False, read: list[Path] | None = None) -> Library:
    """Return the rules that the references name, each file once.

    Args:
        fresh: Read Python files anew, too: someone is editing them.
        read: Takes every file that is read, those in which an error is found too.
        references: Names of built-in files, paths of TOML files, or rules in Python as `file.py:attr` or
            `module:attr`: a rule, a class of one, a generator function of a trace, or a list of these.

    Raises:
        UsageError: There is no such file, or it does not fit; the message says line, key and mend.
        PluginError: Python code of a rule cannot be imported or is no rule.
    """
    found = _Loading(fresh, [] if read is None else read)
    for reference in references:
        found.take(reference, Path())
    names = [Path(reference).stem if reference.endswith(".toml") else reference for reference in references]
    return Library("+".join(names), tuple(found.named), tuple(found.python), tuple(found.files))


class _Loading:
    """What has been loaded so far."""

    def __init__(self, fresh: bool, files: list[Path]) -> None:
        self._fresh = fresh
        self.files = files
        self.named: list[Named] = []
        self.python: list[Rule] = []
        self._seen: set[Path] = set()
        self._names: dict[str, Path] = {}

    def take(self, reference: str, folder: Path) -> None:
        """Load a reference that stands in a file of this folder."""
        if ":" in reference and not reference.endswith(".toml"):
            self._take_python(reference, folder)
        elif reference.endswith(".toml"):
            self._take_file(folder / reference)
        elif reference in built_in():
            self._take_file(BUILT_IN / f"{reference}.toml")
        else:
            hint = "or the path of a file that ends in .toml, or file.py:attr"
            raise UnknownNameError("rules", reference, built_in(), hint=hint)

    def _take_file(self, path: Path) -> None:
        if path.resolve() in self._seen:
            return
        self._seen.add(path.resolve())
        self.files.append(path)
        file = read_rule_file(path)
        name = file.name or path.stem
        if name in self._names:
            raise UsageError(
                f"two rule files are called {name!r}",
                why=f"{self._names[name]} and {path}",
                fix='give one of them another name = "..."',
            )
        self._names[name] = path
        for reference in (*file.extends, *file.python):
            self.take(reference, path.parent)
        _check_patterns(path, file)
        for rule in file.rule:
            spec = msgspec.structs.replace(rule, reason=rule.reason or file.reason)
            self.named.append(Named(f"{name}/{rule.id}", spec))

    def _take_python(self, reference: str, folder: Path) -> None:
        target, _, attribute = reference.partition(":")
        if target.endswith(".py"):
            self.files.append(folder / target)
            if self._fresh:
                forget(folder / target)
            reference = f"{folder / target}:{attribute}"
        found = load(reference, "rule")
        for item in found if isinstance(found, list | tuple) else [found]:
            self.python.append(_as_rule(item, reference))


def _check_patterns(path: Path, file: RuleFile) -> None:
    """Check that RE2 takes every pattern, and that no replacement is matched by its own rule."""
    text = path.read_text("utf-8")
    for index, rule in enumerate(file.rule):
        match = rule.match
        pattern = match.pattern or (literal_pattern(match.literals) if match.literals else "")
        if not pattern:
            continue
        key = "pattern" if match.pattern else "literals"
        try:
            scanner = Scanner([(pattern, match.case)])
        except BadPatternError as error:
            raise complaint(path, text, index, key, f"{error.what} ({error.why})", fix=error.fix) from error
        if any(scanner.find(rule.replacement)):
            raise complaint(
                path,
                text,
                index,
                "with",
                f"rule {rule.id!r} matches its own replacement and would never come to an end",
                fix="put something else in its place",
            )


def _as_rule(item: object, reference: str) -> Rule:
    """Return a rule from a rule, a class of one, or a generator function of a trace.

    Raises:
        PluginError: It is none.
    """
    if isinstance(item, type):
        try:
            item = item()
        except TypeError as error:
            raise PluginError(f"the rule {reference!r} cannot be made", why=str(error)) from error
    if not callable(item):
        raise PluginError(
            f"{reference!r} is not a rule",
            why=f"it is {type(item).__name__}, which cannot be called with a trace",
            fix="write a function of a trace that yields opoi.types.Edit or Reject",
        )
    if isinstance(getattr(item, "id", None), str):
        rule: Rule = item  # type: ignore[assignment]  # it has an id and can be called: that is the contract
        return rule
    return _Function(getattr(item, "__name__", reference), item)


class _Function:
    """A plain function as a rule; its name is the id."""

    def __init__(self, name: str, function: Callable[[Trace], Iterable[Edit | Reject]]) -> None:
        self.id = name
        self.examples = getattr(function, "examples", {})
        self._function = function

    def __call__(self, trace: Trace) -> Iterable[Edit | Reject]:
        """Pass the trace on."""
        return self._function(trace)
