"""What the documents say is tried: their commands run, their tables are what the command prints."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opoi.report.tables import ACCURACY, QUALITY

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.S)


def blocks(name: str) -> list[tuple[str, str, str]]:
    """Return (mark, kind, text) of every code block of a document."""
    return [(m["mark"] or "", m["kind"], m["text"]) for m in BLOCK.finditer((ROOT / name).read_text())]


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """Make a folder in which `opoi` is the command of this checkout."""
    (tmp_path / "bin").mkdir()
    commands = {
        "opoi": f"#!{sys.executable}\nfrom opoi.cli import main\nmain()\n",
        "opoi-ads": f"#!{sys.executable}\nfrom opoi_envs.ads.graph.cli import main\nmain()\n",
        "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }
    for name, text in commands.items():
        command = tmp_path / "bin" / name
        command.write_text(text)
        command.chmod(0o755)
    return tmp_path


def run(text: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", **env}
    return subprocess.run(
        ["sh", "-euc", text], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "docs/guide.md", "docs/ads.md"),
        *("docs/cleaning.md", "docs/endpoints.md", "docs/measures.md"),
    ],
)
def test_the_commands_of_a_document_run(name: str, shell: Path) -> None:
    tried = 0
    for mark, kind, text in blocks(name):
        if mark.startswith("file: "):
            (shell / mark.removeprefix("file: ")).write_text(text)
        elif kind == "sh" and not mark.startswith("not run"):
            done = run(text, shell)
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            tried += 1
    assert tried


def test_the_settings_file_of_the_readme_is_valid(shell: Path) -> None:
    (text,) = [text for _, kind, text in blocks("README.md") if kind == "toml"]
    (shell / "lab.toml").write_text(text)
    done = run("opoi run -q --config lab.toml --n 4 --out r", shell)
    assert done.returncode == 0, done.stderr
    assert "opoi-told" in done.stdout


def test_the_readme_shows_the_table_that_the_demo_prints(shell: Path) -> None:
    (shown,) = [text for mark, _, text in blocks("README.md") if mark == "table"]
    printed = run("opoi run -q --n 60", shell, COLUMNS="110").stdout
    lines = [line.rstrip() for line in printed.partition("table:")[0].rstrip().splitlines()]
    assert shown.splitlines() == lines


def test_the_readme_explains_every_figure_of_its_tables(shell: Path) -> None:
    run("opoi run -q --suite echo --n 2 --out r", shell)
    defined = json.loads((shell / "r/measures.json").read_text())["definitions"]
    explained = re.findall(r"^\| ([^|]+) \|", (ROOT / "README.md").read_text(), re.M)
    for name in (*ACCURACY, *QUALITY):
        word = defined[name]["title"].partition(" (")[0]
        assert [row for row in explained if row.startswith(word)], name


def test_the_list_of_figures_is_what_the_command_prints(shell: Path) -> None:
    text = (ROOT / "docs/measures.md").read_text()
    shown = text.partition("<!-- figures -->\n")[2].partition("<!-- end -->")[0]
    assert shown == run("opoi figures --markdown", shell).stdout


@pytest.mark.parametrize(
    "name", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text()):
        assert ((ROOT / name).parent / target).exists(), target


def test_the_tree_in_the_architecture_is_the_tree() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for source in ("harness/opoi", "envs/opoi_envs"):
        for path in (ROOT / source).iterdir():
            if path.suffix == ".py" and path.stem != "__init__":
                assert re.search(rf"\b{path.stem}\b", text), path
            if path.is_dir() and (path / "__init__.py").exists():
                assert f"{path.name}/" in text, path


def test_the_pages_of_the_archetypes_say_what_their_definitions_say() -> None:
    """The figures of that document come from thousands of worlds; its script makes them again."""
    spec = importlib.util.spec_from_file_location("make_archetypes", ROOT / "fixtures/make_archetypes.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    text = maker.TARGET.read_text()
    for shape in maker.ARCHETYPES:
        for part in maker.definition(shape):
            assert part in text, part
    assert text.count("\n## ") == len(maker.ARCHETYPES) >= 16
    assert "no such world" not in text
