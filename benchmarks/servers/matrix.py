"""Start real servers, ask each what it can do, run the whole loop on it, and write what was found.

    python benchmarks/servers/matrix.py                              # all but the one that compiles
    python benchmarks/servers/matrix.py llama.cpp vllm --write-docs
    python benchmarks/servers/matrix.py llama.cpp --ci               # status 1 if anything is not as expected

Each server gets an environment of its own under `.servers` (pip installs it there, by name), a tiny model of
random weights that is built here, and a free port of loopback. One server runs at a time, with one thread.
It is ended by its process group, after an error and Ctrl-C too. What was found lies in
`.servers/NAME/found.json`; `--write-docs` makes `docs/servers.md` of all of these.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tiny_files
from asking import Endpoint
from catalogue import SERVERS, Server
from checks import CHECKS, run_checks
from document import write
from environments import TORCH, Environment, make
from expected import surprises
from loops import VARIANTS, ended_well, experiment, probe, tier_of
from processes import StartError, end_on_sigterm, free_port, running
from tiny_model import CONTEXT

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "servers.md"
USUAL = tuple(name for name in SERVERS if name != "llama-cpp-python")


def say(text: str) -> None:
    """Tell how far things are."""
    print(text, file=sys.stderr, flush=True)


def model_for(server: Server, environment: Environment, folder: Path) -> str:
    """Build the model that a server loads and return where it lies, `""` for a server that loads none."""
    if server.model == "hf":
        tiny_files.write_hf(folder / "model")
        return str(folder / "model")
    if server.model == "gguf":
        script = Path(tiny_files.__file__)
        subprocess.run([environment.python, script, folder / "model", "--format", "gguf"], check=True)
        return str(folder / "model" / "tiny.gguf")
    return ""


@contextmanager
def serving(server: Server, keep: Path, torch: str) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """Install, start and finally end a server; yield where it answers, and what is known of it so far."""
    folder = keep / server.id
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    environment = make(folder / "venv", server.packages, torch)
    installed = round(time.monotonic() - begun, 1)
    model = model_for(server, environment, folder)
    if not server.behind:
        with _answering(server, environment, model, folder) as (endpoint, ready):
            yield endpoint, _known(server, environment, installed, ready)
        return
    with (
        serving(SERVERS[server.behind], keep, torch) as (behind, other),
        _answering(server, environment, behind.url, folder) as (endpoint, ready),
    ):
        known = _known(server, environment, installed, ready)
        yield endpoint, {**known, "behind": {"server": server.behind, "versions": other["versions"]}}


@contextmanager
def _answering(
    server: Server, environment: Environment, model: str, folder: Path
) -> Iterator[tuple[Endpoint, float]]:
    port = free_port()
    start = server.start(environment, model, port, folder)
    url = f"http://127.0.0.1:{port}"
    with running(
        start.command,
        environ=start.environ,
        ready_url=url + server.ready_path,
        key=start.key,
        limit=server.limit,
        log=folder / "server.log",
    ) as process:
        yield Endpoint(f"{url}/v1", start.model, start.key, CONTEXT), process.ready


def _known(server: Server, environment: Environment, installed: float, ready: float) -> dict[str, Any]:
    return {
        "server": server.id,
        "title": server.title,
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": environment.versions(server.packages.versions),
        "seconds to install": installed,
        "seconds to ready": ready,
    }


def measure(server: Server, keep: Path, torch: str) -> dict[str, Any]:
    """Measure one server and return what was found."""
    with serving(server, keep, torch) as (endpoint, known):
        say(f"  ready after {known['seconds to ready']} s; opoi probe")
        found = {**known, "probe": probe(endpoint), "runs": []}
        for variant in VARIANTS:
            say(f"  opoi run, {variant}")
            out = keep / server.id / "runs" / variant.replace(" ", "-")
            shutil.rmtree(out, ignore_errors=True)
            found["runs"].append(experiment(endpoint, variant, out))
        say("  the rows of the matrix")
        found["checks"] = run_checks(endpoint)
    return found


def measure_again(server: Server, keep: Path, torch: str, rows: Sequence[str]) -> dict[str, Any]:
    """Measure some rows of a server anew and return them with all else that was found before.

    Raises:
        FileNotFoundError: It was never measured.
    """
    found: dict[str, Any] = json.loads((keep / server.id / "found.json").read_text(encoding="utf-8"))
    with serving(server, keep, torch) as (endpoint, known):
        fresh = run_checks(endpoint, [check for check in CHECKS if check.id in rows])
    rest = {check["id"]: check for check in (*found["checks"], *fresh)}
    checks = [rest[check.id] for check in CHECKS if check.id in rest]
    return {**found, "versions": known["versions"], "checks": checks}


def wrong_with(found: dict[str, Any]) -> list[str]:
    """Return what is not as it should be: runs without an end, and findings that surprise."""
    wrong = [problem for run in found["runs"] for problem in ended_well(run)]
    if "said" not in found["probe"]:
        return [*wrong, f"opoi probe: {found['probe']['error']}"]
    return [*wrong, *surprises(found)]


def summary(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that tell a person what was found."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    yield f"{found['title']} ({versions}), ready after {found['seconds to ready']} s"
    said = found["probe"].get("said")
    yield f"  opoi probe: {'tier ' + tier_of(said) if said else 'failed'}, {found['probe']['seconds']} s"
    for run in found["runs"]:
        arms = ", ".join(
            f"{name} {arm['kept']}/{arm['attempted']}" for name, arm in run.get("arms", {}).items()
        )
        yield f"  opoi run, {run['variant']}: {arms or 'no report'} kept, {run['seconds']} s"
    for check in found["checks"]:
        yield f"  {check['title']:<32} {check['value']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--keep", type=Path, default=ROOT / ".servers", metavar="DIR", help="[.servers]")
    parser.add_argument("--torch", default=TORCH, help=f"requirement of PyTorch  [{TORCH}]")
    parser.add_argument("--rows", metavar="A,B", help="measure only these rows; keep what else was found")
    parser.add_argument("--no-run", action="store_true", help="measure nothing; for --write-docs")
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    parser.add_argument(
        "--ci", action="store_true", help="say with the exit status whether all is as expected"
    )
    options = parser.parse_args()
    unknown = [name for name in options.servers if name not in SERVERS]
    if unknown:
        parser.error(f"no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
    end_on_sigterm()
    keep: Path = options.keep.resolve()
    failed = False
    for name in () if options.no_run else options.servers or USUAL:
        say(name)
        try:
            if options.rows:
                found = measure_again(SERVERS[name], keep, options.torch, options.rows.split(","))
            else:
                found = measure(SERVERS[name], keep, options.torch)
        except (StartError, subprocess.CalledProcessError) as error:
            say(f"{name}: {error}")
            failed = True
            continue
        (keep / name / "found.json").write_text(
            json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        print("\n".join(summary(found)), flush=True)
        wrong = wrong_with(found)
        failed = failed or bool(wrong)
        print("".join(f"  not as expected: {line}\n" for line in wrong), end="", flush=True)
    if options.write_docs:
        say(f"writing {write(keep, DOCUMENT)}")
    return int(failed and options.ci)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
