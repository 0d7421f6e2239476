"""The layers of `docs/architecture.md`: a module imports only from layers above its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    ["errors", "seeds", "intervals"],
    ["types"],
    ["protocols", "wire", "progress", "halting"],
    ["registry", "store", "testing", "passages", "folding", "formats"],
    ["models"],
    ["rollout", "executor", "settings", "provenance"],
    ["strategies", "cleaning", "datasets"],
    ["leakage"],
    ["measures"],
    ["report"],
    ["planting"],
    ["lab"],
    ["casting", "ledger", "manifest"],
    ["run"],
    ["preflight"],
    ["stages"],
    ["pipeline"],
    ["across"],
    ["cli", "pytest_plugin"],
]
LAYER = {name: index for index, names in enumerate(LAYERS) for name in names}
SEEN_BY_ENVS = {"errors", "seeds", "types", "protocols", "wire"}
MODULES = sorted((ROOT / "harness/opoi").rglob("*.py"))
ENVS = sorted((ROOT / "envs/opoi_envs").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


def units(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("opoi.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_layers_above_its_own(path: Path) -> None:
    unit = path.relative_to(ROOT / "harness/opoi").with_suffix("").parts[0]
    if unit == "__init__":
        assert not imported(path)
        return
    for other in units(path) - {unit}:
        assert LAYER[other] < LAYER[unit], f"{unit} must not import {other}"
    assert not [name for name in imported(path) if name.startswith("opoi_envs")]


@pytest.mark.parametrize("path", ENVS, ids=lambda path: str(path.relative_to(ROOT)))
def test_environments_see_the_contract_and_nothing_else_of_the_harness(path: Path) -> None:
    assert units(path) <= SEEN_BY_ENVS


ADS = {
    "world": set(),
    "account": {"world"},
    "rows": {"world", "account"},
    "truth": {"world", "account", "rows"},
    "decision": set(),
    "prompts": {"world"},
    "tools": {"world", "account", "rows", "prompts"},
    "env": {"world", "account", "truth", "decision", "prompts", "tools"},
    "experts": {"world", "account", "rows", "truth"},
    "stand_in": {"decision"},
    "suite": {"world", "truth", "decision", "prompts", "env", "experts", "stand_in"},
    "graph": {"world", "account"},
    "gym": {"world", "account", "rows", "truth", "decision", "prompts", "tools", "env", "stand_in", "suite"},
}
"""Parts of the ad account, and what each may import: two faces of one account do not see each other."""


@pytest.mark.parametrize("part", ADS)
def test_parts_of_the_ad_account_see_only_what_lies_below_them(part: str) -> None:
    for path in ENVS:
        inside = path.relative_to(ROOT / "envs/opoi_envs").with_suffix("").parts
        if inside[:2] == ("ads", part):
            seen = {name.split(".")[2] for name in imported(path) if name.startswith("opoi_envs.ads.")}
            assert seen - {part} <= ADS[part], path


def test_the_harness_does_not_speak_of_ads() -> None:
    words = ("campaign", "roas", "budget_cents", "advert")
    for path in MODULES:
        text = path.read_text().lower()
        assert not [word for word in words if word in text], path


def test_help_and_mistakes_are_answered_without_heavy_imports() -> None:
    code = (
        "import sys, opoi.cli\n"
        "heavy = {'openai', 'numpy', 'rich', 'httpx', 'pydantic', 'jinja2', 'starlette'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cleaning_offline_imports_no_client() -> None:
    code = "import sys, opoi.cleaning.levels, opoi.datasets; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
