"""A leak is found whatever was edited."""

from __future__ import annotations

import pandas as pd

from workbench.app.split_editor import torn_groups


def test_a_group_in_two_parts_is_a_leak() -> None:
    table = pd.DataFrame({"Group": ["a", "a", "b"], "Part": ["train", "test", "test"]})
    assert torn_groups(table) == ["a"]


def test_whole_groups_are_no_leak() -> None:
    table = pd.DataFrame({"Group": ["a", "a", "b"], "Part": ["train", "train", "test"]})
    assert torn_groups(table) == []
