"""JSON as clients write it: read as JSON reads it, and never as something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi_envs.ads.graph.relaxed import Malformed, parse

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(TEXTS)
def test_escapes_in_relaxed_quotations_mean_what_they_mean_in_json(text: str) -> None:
    quoted = json.dumps(text)  # every character beyond ASCII as an escape
    assert parse(f"{{a:{quoted}}}") == {"a": text}
    single = "'" + quoted[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    assert parse(f"[{single}]") == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"{name:'\u00e9\n\t\/\\'}", "\u00e9\n\t/\\"),
        (r"{name:'\ud83d\ude00'}", "\U0001f600"),
        (r"{name:'it\'s'}", "it's"),
        ("{name:infinite}", "infinite"),
        ("{name:007}", "007"),
        ("{name:1e3}", 1000.0),
    ],
)
def test_words_and_escapes_are_read(text: str, value: object) -> None:
    assert parse(text) == {"name": value}


UNREADABLE = [
    *(r'"\ud800"', r"['\ud800']", r"['\udc00']", r"['\ud800x']", r"['\ud800\ud800']", r"['\u12']"),
    *(r"['\x41']", "['\\", "['\ud800']", "[\udfff]", '["\ud800"]'),
    *("NaN", "[NaN]", "[Infinity]", "{a:-Infinity}", "[nan]", "[inf]", "{a:+inf}"),
    *("1e999", "[1e999]", "{a:-1e400}", '{"a":1e999}', "[1e+999]", "9" * 5000, f"[{'9' * 5000}]"),
]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_half_characters_and_numbers_without_end_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@pytest.mark.parametrize(
    "value", ["{age_min:NaN}", "{x:Infinity}", "{x:1e999}", '{"x":1e999}', r"{x:'\ud800'}", r'{"x":"\ud800"}']
)
def test_such_a_write_gets_code_100_and_changes_nothing(client: Any, value: str) -> None:
    ad_set = client.account.of_kind("adset")[0]
    before = client.state()
    assert client.post(ad_set.id, targeting=value)["error"]["code"] == 100
    assert client.state() == before


def test_an_escaped_name_inside_a_setting_is_kept_decoded(client: Any) -> None:
    ad_set = client.account.of_kind("adset")[0]
    assert client.post(ad_set.id, targeting=r"{interests:['caf\u00e9']}") == {"success": True}
    assert client.get(ad_set.id, fields="targeting")["targeting"] == {"interests": ["caf\u00e9"]}
