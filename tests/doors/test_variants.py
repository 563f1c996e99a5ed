"""Variants from texts: every combination, by name, or a sentence."""

from __future__ import annotations

import pytest

from workbench.doors.variants import parse_numbers, parse_variants, split_outside_brackets
from workbench.errors import SettingsError


def test_one_key_gives_a_variant_for_each_value() -> None:
    assert parse_variants(["dropout=0,0.5"], []) == {"dropout=0": {"dropout": 0}, "dropout=0.5": {"dropout": 0.5}}


def test_several_keys_give_every_combination() -> None:
    found = parse_variants(["a=1,2", "b=x,[3,4]"], [])
    assert list(found.values()) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": [3, 4]}, {"a": 2, "b": "x"}, {"a": 2, "b": [3, 4]},
    ]  # fmt: skip
    assert list(found)[1] == "a=1, b=[3,4]"


def test_named_variants_keep_their_order_and_may_change_nothing() -> None:
    found = parse_variants([], ["none:", "deep: n_hidden=[100, 50], corruption=masking ,tied=true"])
    assert list(found.items()) == [
        ("none", {}), ("deep", {"n_hidden": [100, 50], "corruption": "masking", "tied": True}),
    ]  # fmt: skip


def test_nothing_to_vary_is_the_base_alone() -> None:
    assert parse_variants([], []) == {"base": {}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1,2", ["1", "2"]),
        ("[1,[2,3]],4", ["[1,[2,3]]", "4"]),
        ('{"a": 1, "b": 2},x', ['{"a": 1, "b": 2}', "x"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("", [""]),
    ],
)
def test_commas_inside_brackets_and_quotes_divide_nothing(text: str, parts: list[str]) -> None:
    assert split_outside_brackets(text) == parts


@pytest.mark.parametrize("vary", ["dropout", "=1", "dropout=", ""])
def test_a_text_without_key_and_values_is_said(vary: str) -> None:
    with pytest.raises(SettingsError, match="write it as key=value,value"):
        parse_variants([vary], [])


@pytest.mark.parametrize("variant", ["deep", "deep:n_hidden", ":a=1", "deep:a=1,b"])
def test_a_variant_without_name_or_settings_is_said(variant: str) -> None:
    with pytest.raises(SettingsError, match="write it as name:key=value"):
        parse_variants([], [variant])


def test_one_name_twice_is_said() -> None:
    with pytest.raises(SettingsError, match="several variants called 'a'"):
        parse_variants([], ["a:x=1", "a:x=2"])
    with pytest.raises(SettingsError, match="several variants called 'a=1'"):
        parse_variants(["a=1,1"], [])


def test_numbers() -> None:
    assert parse_numbers("100, 0") == (100, 0)
    for text in ("", "a", "1,-2", "1.5"):
        with pytest.raises(SettingsError, match="whole numbers"):
            parse_numbers(text)
