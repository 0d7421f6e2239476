"""From a reference in a setting to the object it names.

A reference is a registered name (`ads`), `module:attr` (`my_lab.suites:suite`) or `file.py:attr`
(`lab/mine.py:suite`). Registered names are entry points of the groups `opoi.suites` and
`opoi.strategies`, of this distribution and of any other that is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache, reduce
from hashlib import blake2b
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from opoi.errors import PluginError, UnknownNameError, UsageError
from opoi.protocols import Strategy, Suite

__all__ = ["forget", "load", "load_strategy", "load_suite", "names"]

_ELSEWHERE = "or give module:attr or path/to/file.py:attr"


def names(kind: str) -> dict[str, str]:
    """Return the registered names of a kind (`suite`, `strategy`) and what each refers to."""
    return dict(_registered({"suite": "opoi.suites", "strategy": "opoi.strategies"}[kind]))


@cache  # every installed package is looked at
def _registered(group: str) -> tuple[tuple[str, str], ...]:
    return tuple((point.name, point.value) for point in entry_points(group=group))


def load(reference: str, kind: str) -> Any:  # noqa: ANN401 - the caller checks what it got
    """Return the object that a reference names.

    Args:
        reference: Registered name, `module:attr` or `file.py:attr`.
        kind: What is wanted, for the message: `suite`, `strategy`, `model` ...

    Raises:
        UsageError: There is no such module, file or attribute.
        PluginError: Importing it raised.
    """
    target, separator, attribute = reference.rpartition(":")
    if not separator or not target or not attribute:
        raise UsageError(
            f"{reference!r} does not name a {kind}",
            why="a reference has the form module:attr or path/to/file.py:attr",
        )
    module = _import_file(Path(target), kind) if target.endswith(".py") else _import_module(target, kind)
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UnknownNameError(f"attribute of {target}", attribute, public) from error


def _import_module(name: str, kind: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise PluginError(f"the {kind} {name!r} cannot be imported", why=str(error)) from error
        raise UsageError(
            f"there is no module {name!r} for the {kind}",
            why=str(error),
            fix="install the package that holds it, or name a file: path/to/file.py:attr",
        ) from error
    except Exception as error:  # code of others, run on import: whatever it raises is told as one message
        raise _broken(name, kind, error) from error


def _import_file(path: Path, kind: str) -> Any:  # noqa: ANN401 - a module
    if not path.is_file():
        raise UsageError(
            f"there is no file {str(path)!r} for the {kind}", fix="check the path before the colon"
        )
    name = _name_of(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{str(path)!r} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # code of others, run on import: whatever it raises is told as one message
        del sys.modules[name]
        raise _broken(str(path), kind, error) from error
    return module


def _name_of(path: Path) -> str:
    """Return the name under which a file is kept as a module."""
    return f"opoi_file_{path.stem}_{blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()}"


def forget(path: Path) -> None:
    """Forget a file that was loaded, so that it is loaded anew the next time."""
    sys.modules.pop(_name_of(path), None)


def _broken(name: str, kind: str, error: Exception) -> PluginError:
    return PluginError(
        f"the {kind} {name!r} cannot be imported",
        why=f"{type(error).__name__}: {error}",
        fix="run it alone with python to see where it breaks",
    )


def _find(reference: str, kind: str) -> Any:  # noqa: ANN401 - the caller checks what it got
    if ":" in reference:
        return load(reference, kind)
    known = names(kind)
    if reference not in known:
        raise UnknownNameError(kind, reference, known, hint=_ELSEWHERE)
    return load(known[reference], kind)


def load_suite(reference: str) -> Suite:
    """Return a suite.

    Raises:
        UsageError: It does not exist.
        PluginError: It cannot be imported or lacks a part of the contract.
    """
    found = _find(reference, "suite")
    if isinstance(found, type):
        found = found()
    parts = ("name", "actions", "null_action", "decision_schema", "prose", "experts")
    calls = ("scenarios", "env", "decide", "stand_in")
    missing = [part for part in (*parts, *calls) if not hasattr(found, part)]
    if missing:
        raise PluginError(
            f"{reference!r} is not a suite",
            why=f"it lacks {', '.join(missing)}",
            fix="see opoi.protocols.Suite, and opoi_envs.echo for the smallest one",
        )
    suite: Suite = found
    return suite


def load_strategy(reference: str, settings: Mapping[str, object]) -> Strategy:
    """Return a strategy with its settings applied.

    Args:
        reference: Registered name, `module:attr` or `file.py:attr` of a class with settings as fields,
            or of a callable that takes none.
        settings: Values for its fields.

    Raises:
        UsageError: It does not exist or a setting does not fit.
        PluginError: It cannot be imported or is no strategy.
    """
    found = _find(reference, "strategy")
    if isinstance(found, msgspec.Struct):
        preset = {name: getattr(found, name) for name in found.__struct_fields__}
        found = _configured(type(found), reference, {**preset, **settings})
    elif isinstance(found, type):
        found = _configured(found, reference, settings)
    elif settings:
        raise UsageError(
            f"the strategy {reference!r} takes no settings",
            why=f"it is a plain callable, but got {', '.join(settings)}",
        )
    if not callable(found):
        raise PluginError(
            f"{reference!r} is not a strategy", why="it is not callable", fix="see opoi.protocols"
        )
    strategy: Strategy = found
    return strategy


def _configured(kind: type, reference: str, settings: Mapping[str, object]) -> Any:  # noqa: ANN401 - of the given kind
    if issubclass(kind, msgspec.Struct):
        unknown = [key for key in settings if key not in kind.__struct_fields__]
        if unknown:
            raise UnknownNameError(f"setting of strategy {reference!r}:", unknown[0], kind.__struct_fields__)
        try:
            return msgspec.convert(dict(settings), kind)
        except msgspec.ValidationError as error:
            raise UsageError(f"a setting of strategy {reference!r} does not fit", why=str(error)) from error
    try:
        return kind(**settings)
    except TypeError as error:
        raise UsageError(
            f"the strategy {reference!r} does not take these settings", why=str(error)
        ) from error
