"""The scripts that measure real servers: model, reading of answers, page, processes."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[2] / "benchmarks" / "servers"


def script(name: str) -> ModuleType:
    """Import one of the scripts; they import each other by name, as scripts in a folder do."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


tiny_model = script("tiny_model")
tiny_files = script("tiny_files")
WEIGHTS = tiny_model.tensors()
IDS = tiny_model.ids()
rows_scores = script("rows_scores")
rows_tools = script("rows_tools")
document = script("document")
expected = script("expected")
loops = script("loops")
processes = script("processes")
checks = script("checks")


# ---------------------------------------------------------------- the model


def forward(named: dict[str, np.ndarray], tokens: list[int], heads: int) -> np.ndarray:
    """Return the logits after the last token: a Llama written out with loops, in float64."""
    width = named["lm_head.weight"].shape[1]
    size = width // heads
    states = [named["model.embed_tokens.weight"][token].astype(np.float64) for token in tokens]
    for layer in range(tiny_model.LAYERS):
        part = {
            name.removeprefix(f"model.layers.{layer}.").removesuffix(".weight"): weight.astype(np.float64)
            for name, weight in named.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        normed = [rms(state) for state in states]
        keys = [
            [turned(head, i) for head in np.split(part["self_attn.k_proj"] @ x, heads)]
            for i, x in enumerate(normed)
        ]
        values = [np.split(part["self_attn.v_proj"] @ x, heads) for x in normed]
        for i, x in enumerate(normed):
            queries = [turned(head, i) for head in np.split(part["self_attn.q_proj"] @ x, heads)]
            mixed = []
            for head, query in enumerate(queries):
                weights = np.exp([query @ keys[j][head] / math.sqrt(size) for j in range(i + 1)])
                weights /= weights.sum()
                mixed.append(sum(weight * values[j][head] for j, weight in enumerate(weights)))
            states[i] = states[i] + part["self_attn.o_proj"] @ np.concatenate(mixed)
        for i, state in enumerate(states):
            x = rms(state)
            gate = part["mlp.gate_proj"] @ x
            states[i] = state + part["mlp.down_proj"] @ (
                gate / (1 + np.exp(-gate)) * (part["mlp.up_proj"] @ x)
            )
    return named["lm_head.weight"].astype(np.float64) @ rms(states[-1])


def rms(state: np.ndarray) -> np.ndarray:
    return state / np.sqrt((state**2).mean() + 1e-5)


def turned(head: np.ndarray, place: int) -> np.ndarray:
    """Rotate a head's pairs (i, i + half) by the angle of its place."""
    half = len(head) // 2
    angles = place * 10000.0 ** (-np.arange(half) / half)
    first, second = head[:half], head[half:]
    return np.concatenate(
        [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)]
    )


@pytest.mark.parametrize("token", list(tiny_model.SCRIPT))
@pytest.mark.parametrize("before", ["", "vessel", "Decide now. "])
def test_the_model_follows_its_script_nineteen_times_in_twenty(token: str, before: str) -> None:
    words = IDS
    logits = forward(WEIGHTS, [*before.encode(), words[token]], tiny_model.HEADS)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    scripted = {after: shares[words[after]] for after in tiny_model.SCRIPT[token]}
    assert sum(scripted.values()) > 0.95
    for after, share in tiny_model.SCRIPT[token].items():
        assert scripted[after] == pytest.approx(share, abs=0.25)


LOOK_UPS = [
    (after, sought, follower)
    for head in tiny_model.LOOKED_UP
    for after, answers in head.items()
    for sought, follower in answers.items()
]


@pytest.mark.parametrize(("after", "sought", "follower"), LOOK_UPS)
@pytest.mark.parametrize("distance", [0, 5])
def test_what_stands_in_the_prompt_decides_what_follows(
    after: str, sought: str, follower: str, distance: int
) -> None:
    words = IDS
    prompt = [*b"Decide about ", words[sought], *(b" now. " * distance), words[after]]
    logits = forward(WEIGHTS, prompt, tiny_model.HEADS)
    shares = np.exp(logits - logits.max())
    assert shares[words[follower]] / shares.sum() > 0.9


def test_shares_of_the_script_sum_to_one_and_every_step_has_a_coordinate_of_its_own() -> None:
    assert all(math.isclose(sum(after.values()), 1.0) for after in tiny_model.SCRIPT.values())
    used = [*tiny_model._coordinates().values(), *tiny_model._found().values()]
    assert sorted(used) == list(range(len(used)))
    assert len(used) <= tiny_model.STEPS < tiny_model.WIDTH


def test_each_token_of_the_vocabulary_is_there_once() -> None:
    words = tiny_model.vocabulary()
    assert len(set(words)) == len(words)
    assert sorted(tiny_model.byte_letters()) == sorted(words[:256])


def test_no_token_is_longer_than_the_servers_stand() -> None:
    assert max(len(token.encode()) for token in tiny_model.vocabulary()) <= 32


def test_the_weights_depend_on_names_alone() -> None:
    once, again = tiny_model.tensors(), tiny_model.tensors()
    assert all((once[name] == again[name]).all() for name in once)
    assert not (tiny_model.draws("a", 8) == tiny_model.draws("b", 8)).all()


def test_the_written_weights_can_be_read_back(tmp_path: Path) -> None:
    tiny_files.write_hf(tmp_path)
    raw = (tmp_path / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    named = tiny_model.tensors()
    assert set(header) == {*named, "__metadata__"}
    for name, tensor in named.items():
        start, end = header[name]["data_offsets"]
        read = np.frombuffer(raw[8 + length :][start:end], dtype="<f4").reshape(header[name]["shape"])
        assert (read == tensor).all()


def test_llama_cpp_pairs_neighbours_where_hugging_face_pairs_halves() -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    tensor = tiny_model.tensors()[name]
    moved = tiny_files._gguf_order(name, tensor)
    size = tiny_model.WIDTH // tiny_model.HEADS
    for head in range(tiny_model.HEADS):
        for pair in range(size // 2):
            assert (moved[head * size + 2 * pair] == tensor[head * size + pair]).all()
            assert (moved[head * size + 2 * pair + 1] == tensor[head * size + size // 2 + pair]).all()
    assert tiny_files._gguf_order("model.layers.0.mlp.up_proj.weight", tensor) is tensor


# ---------------------------------------------------------------- reading answers

scores = st.lists(st.floats(-9, -0.01), min_size=3, max_size=8, unique_by=lambda score: round(score, 1))


@given(scores, st.integers(0, 3))
def test_scores_at_their_place_are_exact_and_beside_it_off_by_one(values: list[float], lead: int) -> None:
    words = [f"w{i}" for i in range(len(values))]
    made = list(zip(words, values, strict=True))
    before = [(f"p{i}", -20.0) for i in range(lead + 1)]
    assert rows_scores._compared(made, [*before, *made])[0] == "exact"
    late = list(zip([*words, "end"], [-20.0, *values], strict=True))
    assert rows_scores._compared(made, [*before, *late])[0] == "off by one"
    early = list(zip([before[-1][0], *words], [*values, -20.0], strict=True))
    assert rows_scores._compared(made, [*before[:-1], *early])[0] == "off by one"
    assert rows_scores._compared(made, [*before, *((word, -20.0) for word in words)])[0] == "wrong"
    assert rows_scores._compared(made, before)[0] == "other tokens"


def test_scores_that_end_too_soon_are_off_by_one_as_well() -> None:
    made = [("a", -1.0), ("b", -2.0), ("c", -3.0)]
    assert (
        rows_scores._compared(made, [("p", None), ("a", -2.0), ("b", -3.0), ("c", -9.0)])[0] == "off by one"
    )
    assert rows_scores._compared(made, [("a", None), ("b", -2.0), ("c", -3.0)])[0] == "exact"


def choice(*arguments: str, content: str = "", reason: str = "tool_calls") -> SimpleNamespace:
    calls = [
        SimpleNamespace(function=SimpleNamespace(name="read_gauge", arguments=text)) for text in arguments
    ]
    return SimpleNamespace(finish_reason=reason, message=SimpleNamespace(tool_calls=calls, content=content))


def test_a_forced_call_counts_as_ignored_only_where_an_answer_ended_without_one() -> None:
    called, cut = choice("{}"), choice(reason="length")
    assert rows_tools._forced([called, called])[0] == "called, tool_calls"
    assert rows_tools._forced([called, cut])[0] == "called, tool_calls"
    assert rows_tools._forced([called, choice(reason="stop")])[0] == "ignored, tool_calls"
    assert rows_tools._forced([choice(content="<tool_call>", reason="stop")])[0] == "raw text"
    assert rows_tools._forced([choice(reason="stop")])[0] == "ignored"


# ---------------------------------------------------------------- the page


def finding(server: str, **values: str) -> dict[str, object]:
    rows = [
        {
            "id": check.id,
            "title": check.title,
            "value": values.get(check.id, "yes"),
            "detail": {},
            "seconds": 0.1,
        }
        for check in checks.CHECKS
    ]
    arm = {
        "attempted": 8,
        "kept": 5,
        "dropped": {"truncated": 3},
        "figures": ["yield"],
        "nothing to measure": ["js"],
    }
    said = {
        "model": "tiny",
        "logprobs": True,
        "scorers": {"echo": {"verdict": "shifted"}},
        "seed": "honoured",
    }
    return {
        "server": server,
        "title": server,
        "date": "2026-11-01",
        "python": "3.11",
        "versions": {server: "1.0"},
        "seconds to install": 1.0,
        "seconds to ready": 2.0,
        "probe": {"status": 0, "seconds": 1.0, "said": said},
        "runs": [{"variant": "streamed", "status": 0, "seconds": 3.0, "report": True, "arms": {"base": arm}}],
        "checks": rows,
    }


def test_the_page_tells_every_row_of_every_server() -> None:
    page = document.document([finding("vllm", json_schema="half | enforced"), finding("llama.cpp")])
    lines = page.splitlines()
    for check in checks.CHECKS:
        (line,) = (line for line in lines if line.startswith(f"| {check.title} |"))
        wanted = "half \\| enforced" if check.id == "json_schema" else "yes"
        assert line == f"| {check.title} | {wanted} | yes |"
    assert "| vllm | streamed | yes | 5 of 8 kept; truncated 3 | 3.0 |" in lines
    assert "| tier | T1 | T1 |" in lines
    assert "llama-cpp-python" in page.partition("were not measured")[2].splitlines()[0]


def test_the_published_page_has_the_rows_of_the_script() -> None:
    page = (FOLDER.parents[1] / "docs" / "servers.md").read_text(encoding="utf-8")
    matrix = page.partition("## What each does")[2].partition("What follows")[0].splitlines()
    lines = [line for line in matrix if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [
        check.title for check in checks.CHECKS
    ]
    cells = {len(line.split(" | ")) for line in lines}
    assert len(cells) == 1
    assert not any(line.endswith(" - |") or " | - | " in line for line in lines[2:]), "a row was not measured"


def test_every_row_that_is_expected_or_commented_exists() -> None:
    rows = {check.id for check in checks.CHECKS}
    assert len(rows) == len(checks.CHECKS)
    assert set(document.ADVICE) <= rows
    assert {row for row, _ in expected.AGREE.values()} | set(expected.SCORERS.values()) <= rows
    for table in (expected.EXPECTED, expected.EARLIER):
        assert all(set(values) <= rows for values in table.values())


def test_a_row_that_differs_is_a_surprise_and_one_that_does_not_is_none() -> None:
    good = finding("llama.cpp", **expected.EXPECTED["llama.cpp"])
    good["probe"]["said"] |= expected.PROBED["llama.cpp"]
    assert expected.surprises(good) == []
    bad = finding("llama.cpp", **{**expected.EXPECTED["llama.cpp"], "context_overflow": "unchecked"})
    bad["probe"]["said"] |= {**expected.PROBED["llama.cpp"], "stream": "broken"}
    assert expected.surprises(bad) == [
        "longer than the context: unchecked instead of refused (400)",
        "opoi probe, stream: 'broken' instead of 'ok'",
    ]


def test_the_probe_and_the_rows_disagree_where_they_tell_different_things() -> None:
    one = finding("vllm", seed_repeats="yes", logprobs="none", completions_echo="exact")
    one["probe"]["said"] = {"seed": "honoured", "logprobs": True, "errors": "unknown", "scorers": {}}
    assert expected.disagreements(one) == [
        "logprobs: True by `opoi probe`, none by the row",
        "scores by echo: absent by `opoi probe`, exact by the row",
    ]


def test_a_trace_neither_kept_nor_dropped_is_told() -> None:
    (run,) = finding("vllm")["runs"]
    assert loops.ended_well(run) == []
    run["arms"]["base"]["kept"] = 4
    assert len(loops.ended_well(run)) == 1
    assert loops.ended_well({**run, "report": False}) == ["streamed: no report (status 0)"]


@pytest.mark.parametrize(
    ("logprobs", "verdict", "tier"),
    [(False, "absent", "T0"), (True, "shifted", "T1"), (True, "believed", "T2"), (False, "believed", "T2")],
)
def test_scores_are_believed_before_they_lift_the_tier(logprobs: bool, verdict: str, tier: str) -> None:
    assert loops.tier_of({"logprobs": logprobs, "scorers": {"echo": {"verdict": verdict}}}) == tier


# ---------------------------------------------------------------- processes

SERVER = """
import subprocess, sys, http.server
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def alive(pid: int) -> bool:
    """Tell whether a process runs: one that has ended and was not collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_a_server_and_its_children_end_whatever_happens(
    tmp_path: Path, error: type[BaseException] | None
) -> None:
    port = processes.free_port()
    log = tmp_path / "log"

    def use() -> None:
        with processes.running(
            [sys.executable, "-c", SERVER, str(port)],
            environ={},
            ready_url=f"http://127.0.0.1:{port}/",
            key="none",
            limit=30,
            log=log,
        ) as process:
            assert process.ready > 0
            if error:
                raise error

    if error:
        with pytest.raises(error):
            use()
    else:
        use()
    assert gone(int(log.read_text().split()[1]))


def test_a_server_that_ends_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    start = {"environ": {}, "key": "none", "limit": 30, "log": tmp_path / "log"}
    with (
        pytest.raises(processes.StartError, match=r"status 3(.|\n)*no such model"),
        processes.running(command, ready_url="http://127.0.0.1:9/", **start),
    ):
        pass


def test_a_server_that_never_answers_is_ended_and_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    log = tmp_path / "log"
    with (
        pytest.raises(processes.StartError, match="does not answer"),
        processes.running(command, environ={}, ready_url="http://127.0.0.1:9/", key="none", limit=1, log=log),
    ):
        pass
    assert gone(int(log.read_text()))


def test_sigterm_ends_the_servers_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    port = processes.free_port()
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import processes, time; from pathlib import Path\n"
        "processes.end_on_sigterm()\n"
        f"with processes.running([sys.executable, '-c', {SERVER!r}, '{port}'], environ={{}}, key='none',\n"
        f"    ready_url='http://127.0.0.1:{port}/', limit=30, log=Path({str(log)!r})):\n"
        "    print('ready', flush=True); time.sleep(600)\n"
    )
    script = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with script:
        assert script.stdout is not None
        assert script.stdout.readline() == b"ready\n"
        script.terminate()
    assert script.returncode != 0
    assert gone(int(log.read_text().split()[1]))
