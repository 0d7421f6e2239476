from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from opoi.errors import PluginError, UnknownNameError, UsageError
from opoi.registry import load, load_strategy, load_suite
from opoi.settings import Settings, merge, read_settings
from opoi.strategies.opoi import OPOI


def test_a_toml_file_says_the_same_as_the_options(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        'suite = "echo"\nn = 7\nstrategies = ["opoi", "soft"]\n'
        '[endpoint]\ntemperature = 0.2\n[strategy.soft]\nuse = "opoi"\nstrength = "hint"\n'
    )
    settings = merge(read_settings(path), {"n": 8})
    assert (settings.suite, settings.n, settings.endpoint.temperature) == ("echo", 8, 0.2)
    soft = settings.arms()[1]
    assert (soft.name, soft.use, soft.settings) == ("soft", "opoi", {"strength": "hint"})
    assert load_strategy(soft.use, soft.settings) == OPOI(strength="hint")


def test_arms_can_be_added_to_a_manifest_and_taken_away() -> None:
    told = {"strategies": ["opoi", "a"], "strategy": {"a": {"use": "opoi", "form": "all"}}}
    manifest = msgspec.to_builtins(merge(told, {}))
    more = merge(manifest, {"strategies": ["a", "b"], "strategy": {"b": {"use": "opcd"}}}, taken_up=True)
    assert [arm.name for arm in more.arms()] == ["a", "b"]
    assert more.arms()[0].settings == {"form": "all"}
    less = merge(manifest, {"strategies": ["opoi"]}, taken_up=True)
    assert [arm.name for arm in less.arms()] == ["opoi"]
    with pytest.raises(UsageError, match="no strategy"):
        merge({"strategies": []}, {}).arms()


def test_none_sends_no_temperature(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[endpoint]\ntemperature = "none"\nmax_tokens = 5\n')
    endpoint = merge(read_settings(path), {}).endpoint
    assert (endpoint.temperature, endpoint.max_tokens) == (None, 5)


def test_settings_survive_the_manifest() -> None:
    settings = merge({"strategy": {"opoi": {"form": "all"}}}, {})
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n = 0", "`int` >= 1"),
        ("n = true", "Expected `int`"),
        ("nn = 3", "did you mean 'n'"),
        ('clean = "C7"', "C7"),
        ("= 3", "not TOML"),
        ("[endpoint]\ntemprature = 1", "temprature"),
    ],
)
def test_a_bad_settings_file_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_settings(path)
    assert says in str(error.value)
    assert "s.toml" in str(error.value)


def test_a_missing_settings_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"strategies": ["opoi", "opoi"]}, "taken"),
        ({"strategies": ["base"]}, "taken"),
        ({"strategies": ["../evil"]}, "cannot be the name"),
        ({"strategies": ["opoi"], "strategy": {"opcd": {}}}, "unknown arm"),
    ],
)
def test_arms_need_names_of_their_own(values: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as error:
        merge(values, {}).arms()
    assert says in str(error.value)


# ---------------------------------------------------------------- references


def test_a_suite_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from opoi_envs.echo import Echo\nclass Mine(Echo):\n    name = 'mine'\nsuite = Mine()\n")
    assert load_suite(f"{path}:suite").name == "mine"
    assert load_suite(f"{path}:Mine").name == "mine"
    assert load_suite(f"{path}:suite") is load_suite(f"{path}:suite")
    assert load_suite("opoi_envs.echo:suite").name == "echo"


@pytest.mark.parametrize(
    ("reference", "error", "says"),
    [
        ("ad", UnknownNameError, "did you mean 'ads'"),
        ("nothing.like.it:suite", UsageError, "no module"),
        ("opoi_envs.echo:suit", UnknownNameError, "did you mean"),
        ("/no/such/file.py:suite", UsageError, "no file"),
        ("opoi_envs.echo:LIMIT", PluginError, "is not a suite"),
    ],
)
def test_a_suite_that_cannot_be_had_is_named_with_the_mend(
    reference: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        load_suite(reference)
    assert says in str(raised.value)


def test_a_plugin_that_breaks_on_import_says_how(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        load(f"{path}:x", "suite")
    path.write_text("import not_installed_anywhere")
    with pytest.raises(PluginError, match="not_installed_anywhere"):
        load(f"{path}:x", "suite")


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("opio", {}, "did you mean 'opoi'"),
        ("opoi", {"strenght": "hint"}, "did you mean 'strength'"),
        ("opoi", {"strength": "shout"}, "shout"),
        ("opoi", {"attempts": 0}, ">= 1"),
        ("opcd-informed", {"see_data": "yes"}, "bool"),
    ],
)
def test_a_strategy_that_cannot_be_had_is_named_with_the_mend(
    name: str, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError) as error:
        load_strategy(name, settings)
    assert says in str(error.value)


def test_a_preset_can_be_changed_in_part() -> None:
    changed = load_strategy("opcd-informed", {"form": "all"})
    assert changed.see_data  # type: ignore[attr-defined]
    assert changed.form == "all"  # type: ignore[attr-defined]


def test_a_plain_function_is_a_strategy_without_settings(tmp_path: Path) -> None:
    path = tmp_path / "plain.py"
    path.write_text("def mine(case, cast):\n    return []\n")
    assert callable(load_strategy(f"{path}:mine", {}))
    with pytest.raises(UsageError, match="takes no settings"):
        load_strategy(f"{path}:mine", {"a": 1})
