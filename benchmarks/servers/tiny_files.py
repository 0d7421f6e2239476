"""The tiny model of `tiny_model.py` as files: a Hugging Face directory, or GGUF.

python tiny_files.py DIR --format hf        # config, tokenizer, weights (safetensors): needs numpy
python tiny_files.py DIR --format gguf      # the same model in one file: needs numpy and gguf
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tiny_model import (
    CONTEXT,
    END,
    HEADS,
    INNER,
    LAYERS,
    MERGES,
    NAME,
    SPECIAL,
    WIDTH,
    ids,
    phrases,
    tensors,
    vocabulary,
)

__all__ = ["write_gguf", "write_hf"]

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

CALLS = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close": END, "content": "text"},
    },
}
"""How answers are read, in the form that transformers declares (`response_template`)."""


# ---------------------------------------------------------------- Hugging Face


def write_hf(folder: Path, context: int = CONTEXT) -> None:
    """Write the model as a directory that transformers and vLLM load."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {
        "config.json": _config(context),
        "generation_config.json": _generation(),
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": _tokenizer_config(context),
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_safetensors(tensors()))


def _config(context: int) -> dict[str, object]:
    words = ids()
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(vocabulary()),
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": WIDTH // HEADS,
        "max_position_embeddings": context,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "torch_dtype": "float32",
        "bos_token_id": words["<|endoftext|>"],
        "eos_token_id": words[END],
        "pad_token_id": words["<|endoftext|>"],
    }


def _generation() -> dict[str, object]:
    words = ids()
    return {
        "do_sample": True,  # without it transformers ignores temperature and seed
        "temperature": 1.0,
        "top_k": 0,
        "bos_token_id": words["<|endoftext|>"],
        "eos_token_id": words[END],
        "pad_token_id": words["<|endoftext|>"],
    }


def _tokenizer() -> dict[str, object]:
    plain = vocabulary()[: 256 + len(MERGES)]
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": token in SPECIAL,
        }
        for index, token in enumerate(vocabulary())
        if index >= len(plain)
    ]
    bytes_of_text = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": bytes_of_text,
        "post_processor": None,
        "decoder": bytes_of_text,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(plain)},
            "merges": [pair.split() for pair in MERGES],
        },
    }


def _tokenizer_config(context: int) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": END,
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "chat_template": TEMPLATE,
        "response_template": CALLS,
    }


def _safetensors(named: dict[str, np.ndarray]) -> bytes:
    """Return a safetensors file: the length of the header, the header, the numbers."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    done = 0
    for name, tensor in named.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [done, done + tensor.nbytes],
        }
        done += tensor.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    numbers = b"".join(tensor.astype("<f4").tobytes() for tensor in named.values())
    return len(head).to_bytes(8, "little") + head + numbers


# ---------------------------------------------------------------- GGUF

_PLACES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, context: int = CONTEXT) -> None:
    """Write the model as GGUF."""
    import gguf  # type: ignore[import-not-found] # only where a file of this form is wanted

    path.parent.mkdir(parents=True, exist_ok=True)
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
    writer.add_vocab_size(len(vocabulary()))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary())
    kinds = gguf.TokenType
    normal = 256 + len(MERGES)
    writer.add_token_types(
        [kinds.NORMAL] * normal + [kinds.USER_DEFINED] * len(phrases()) + [kinds.CONTROL] * len(SPECIAL)
    )
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(ids()["<|endoftext|>"])
    writer.add_eos_token_id(ids()[END])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in tensors().items():
        writer.add_tensor(_gguf_name(name), _gguf_order(name, tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    """Return llama.cpp's name of a tensor."""
    outer = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in outer:
        return outer[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_PLACES[part]}.weight"


def _gguf_order(name: str, tensor: np.ndarray) -> np.ndarray:
    """Return a tensor as llama.cpp wants it: its rotary embedding pairs other rows of q and k."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    halves = tensor.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(WIDTH, WIDTH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=("hf", "gguf"), required=True)
    parser.add_argument("--context", type=int, default=CONTEXT)
    options = parser.parse_args()
    if options.format == "hf":
        write_hf(options.folder, options.context)
    else:
        write_gguf(options.folder / "tiny.gguf", options.context)


if __name__ == "__main__":
    main()
