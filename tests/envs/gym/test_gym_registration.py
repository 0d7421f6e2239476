"""`gymnasium.make` finds the environment in either order of imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAKE = "env = gymnasium.make('opoi_envs.ads:AdAccount-v0'); task, info = env.reset(seed=1); print(task)"


def run(*lines: str) -> str:
    words = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "before",
    [
        "import gymnasium",
        "import gymnasium, opoi_envs.ads",
        "import opoi_envs.ads, gymnasium",
        "from opoi_envs.ads import suite; list(suite.scenarios(1, 0)); import gymnasium.envs.registration",
        "import importlib.util, opoi_envs.ads; importlib.util.find_spec('gymnasium'); import gymnasium",
        "import opoi_envs.ads.gym.env, gymnasium",
    ],
)
def test_the_environment_is_found_whatever_was_imported_first(before: str) -> None:
    assert run(before, MAKE).startswith("Today is ")


def test_importing_the_account_does_not_import_matplotlib() -> None:
    said = run("import sys, opoi_envs.ads", "print('matplotlib' in sys.modules)")
    assert said.strip() == "False"


def test_registering_again_changes_nothing() -> None:
    said = run(
        "import gymnasium, opoi_envs.ads",
        "from opoi_envs.ads.gym.registration import register",
        "register(); register()",
        "print(sum(name.startswith('AdAccount') for name in gymnasium.registry))",
    )
    assert said.strip() == "1"


@pytest.mark.parametrize("library", ["gymnasium", "matplotlib"])
def test_a_missing_library_is_named_with_what_to_install(library: str) -> None:
    said = run(
        "import sys",
        f"sys.modules[{library!r}] = None",
        "from opoi.errors import UsageError",
        "import opoi_envs.ads",
        "from opoi_envs.ads.gym.registration import register",
        "try:",
        "    register()",
        "    from opoi_envs.ads.gym.env import AdAccountEnv",
        "    env = AdAccountEnv(render_mode='rgb_array'); env.reset(seed=0); env.render()",
        "except UsageError as error:",
        "    print(error)",
    )
    assert f"No module named '{library}" in said
    assert "pip install 'opoi[gym]'" in said
