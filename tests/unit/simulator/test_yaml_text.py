"""The simulated everestctl reads and writes YAML as Everest's own parser does, go-yaml 2, without any package."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.everestctl import yaml_text

# What both this and PyYAML take for words: they differ about numbers, and about yes and no.
WORDS = st.from_regex(r"[a-z][a-z ,:#'\"\-\[\]{}?|>%@&*!\\/.=]{0,14}", fullmatch=True).filter(
    lambda word: word not in ("y", "n", "on", "off", "yes", "no", "true", "false", "null")
)
VALUES = st.recursive(
    st.one_of(WORDS, st.booleans(), st.none(), st.integers()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.thorough
@settings(max_examples=80, deadline=None)
@given(value=st.dictionaries(WORDS, VALUES, min_size=1, max_size=5), is_flow=st.booleans())
def test_reads_what_another_writes(value: dict[str, Any], is_flow: bool) -> None:
    assert yaml_text.read(yaml.safe_dump(value, default_flow_style=is_flow, width=10_000)) == value


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cs", "Cc"]), min_size=1))
def test_reads_any_text_that_it_writes(text: str) -> None:
    assert yaml_text.read(f"key: {yaml_text.write_scalar(text)}\n") == {"key": text}
    assert yaml_text.read(f"{yaml_text.write_key(text)} value\n") == {text: "value"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", True),
        ("Off", False),
        ("y", True),
        ("~", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("0x1F", 31),
        ("0b101", 5),
        ("017", 15),
        ("0o17", 15),
        ("1_000", 1000),
        ("_1", "_1"),
        ("089", 89.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-7", -7),
        ("1.2.3", "1.2.3"),
        ("2026-11-26", "2026-11-26"),
        ("a: b", {"a": "b"}),
        ("!!binary aGk=", b"hi"),
        ('!!str "5"', "5"),
    ],
)
def test_plain_words_have_the_meaning_of_yaml_1_1(written: str, meant: Any) -> None:
    found = yaml_text.read(f"key: {written}\n" if ": " not in written else f"key:\n  {written}\n")["key"]
    assert found == meant
    assert type(found) is type(meant)
    if isinstance(meant, float):
        assert not math.isnan(found)


def test_keys_are_text_but_for_the_null() -> None:
    assert yaml_text.read("true: 1\n12: 2\n'null': 3\nnull: 4\n") == {"true": 1, "12": 2, "null": 3, "": 4}


@pytest.mark.parametrize("text", ["[a, b", "{a: b", "'open", "a: b\nwords\n", "a: [b] c\n", "a: @b\n"])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(yaml_text.BadYaml, match=r"^yaml: line \d+: "):
        yaml_text.read(text)
