"""A real llama.cpp server with a tiny model of random weights, for as long as a command runs.

    pip install xllamacpp gguf numpy          # an environment of its own will do: opoi is not needed here
    python benchmarks/servers/llama_cpp.py                                   # serve until Ctrl-C
    python benchmarks/servers/llama_cpp.py -- opoi run --model {url} --n 4    # serve while a command runs

What it says is gibberish, so agents fail, but nothing else is made up: llama.cpp's HTTP server, its
tokenizer, its chat template with tools, its sampling with seeds, its limits and its errors. The model
(two Llama layers, a vocabulary of bytes and a few pairs, half a megabyte) is written to a temporary
folder that goes with the server. Nothing is downloaded. One thread: two that spin on a busy machine are
many times slower.
"""

from __future__ import annotations

import argparse
import hashlib
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

import gguf
import numpy as np
import xllamacpp

NAME = "tiny"
WIDTH, HEADS, LAYERS, INNER = 64, 4, 2, 128
MERGES = ("t h", "h e", "i n", "e r", "a n", "r e", "th e", "in g")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = ("<tool_call>", "</tool_call>")
READY_WITHIN = 60.0

TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools

<tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>

For each call, answer with a JSON object within <tool_call></tool_call> tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' or message.role == 'system' and not loop.first %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% elif message.role == 'assistant' %}<|im_start|>assistant
{{ message.content }}{% for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {% if call.function.arguments is string %}
{{- call.function.arguments }}{% else %}{{- call.function.arguments | tojson }}{% endif %}}
</tool_call>{% endfor %}<|im_end|>
{% elif message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def byte_tokens() -> list[str]:
    """Return one token per byte, written with the characters that byte-level BPE uses for them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = (byte for byte in range(256) if byte not in plain)
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(other)}
    return [letters[byte] for byte in range(256)]


def weights(name: str, *shape: int) -> np.ndarray:
    """Return weights in [-0.5, 0.5) that depend on the name alone."""
    raw = np.frombuffer(hashlib.shake_128(name.encode()).digest(2 * int(np.prod(shape))), dtype="<u2")
    return (raw.astype(np.float32) / 65536 - 0.5).reshape(shape)


def write_model(path: Path, context: int) -> None:
    """Write the model as GGUF."""
    normal = [*byte_tokens(), *(pair.replace(" ", "") for pair in MERGES)]
    tokens = [*normal, *TAGS, *SPECIAL]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types(
        [kinds.NORMAL] * len(normal) + [kinds.USER_DEFINED] * len(TAGS) + [kinds.CONTROL] * len(SPECIAL)
    )
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    writer.add_tensor("token_embd.weight", weights("embedding", len(tokens), WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("output.weight", weights("output", len(tokens), WIDTH))
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{norm}.weight", np.ones(WIDTH, dtype=np.float32))
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{part}.weight", weights(f"{block}.{part}", WIDTH, WIDTH))
        for part in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"{block}.{part}.weight", weights(f"{block}.{part}", INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", weights(f"{block}.ffn_down", WIDTH, INNER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
        write_model(model, options.context)
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
