"""A real llama.cpp server with a tiny model, for as long as a command runs.

    pip install xllamacpp gguf numpy          # an environment of its own will do: opoi is not needed here
    python benchmarks/servers/llama_cpp.py                                   # serve until Ctrl-C
    python benchmarks/servers/llama_cpp.py -- opoi run --model {url} --n 4    # serve while a command runs

What it says comes from a model of random weights (`tiny_model.py`), but nothing else is made up: llama.cpp's
HTTP server, its tokenizer, its chat template with tools, its sampling with seeds, its limits and its errors.
The model is written to a temporary folder that goes with the server. Nothing is downloaded. One thread: two
that spin on a busy machine are many times slower.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

# Read by the OpenMP runtime when llama.cpp is loaded, so before the import below.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import xllamacpp  # type: ignore[import-not-found] # is in the server's own environment
from tiny_files import write_gguf
from tiny_model import NAME

READY_WITHIN = 60.0


def start(model: Path, context: int, port: int, slots: int) -> xllamacpp.Server:
    """Start the server; it ends with the process."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = [NAME]
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = context * slots
    params.n_parallel = slots
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = 0
    params.use_jinja = True
    params.warmup = False
    params.verbosity = 1  # errors only
    return xllamacpp.Server(params)


def wait_until_ready(url: str) -> None:
    """Wait until the server says that its model is loaded."""
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise SystemExit(f"the server at {url} was not ready within {READY_WITHIN:g} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--context", type=int, default=32768, help="tokens (about one per byte) of context per slot"
    )
    parser.add_argument("--slots", type=int, default=2, help="requests answered at once")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("command", nargs="*", help="run this, with {url} replaced, then end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opoi-llama-") as folder:
        model = Path(folder) / "tiny.gguf"
        write_gguf(model, options.context)
        server = start(model, options.context, options.port, options.slots)
        url = f"{server.listening_address}/v1"
        wait_until_ready(url)
        print(url, flush=True)
        if not options.command:
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                return 0
        command = [word.replace("{url}", url) for word in options.command]
        print(f"$ {shlex.join(command)}", file=sys.stderr, flush=True)
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
