"""File names as people write them."""

from __future__ import annotations

import pytest

from workbench.imaging.words import folder_role, role_of, split_role


@pytest.mark.parametrize(
    ("name", "head", "kind", "word"),
    [
        ("1000_SS", "1000", "image", "SS"),
        ("pat3_t1_post", "pat3", "image", "T1post"),
        ("sub-01.FLAIR", "sub-01", "image", "FLAIR"),
        ("case_001_seg", "case_001", "label", "seg"),
        ("a_brain_mask", "a", "mask", "brainmask"),
        ("T2", "", "image", "T2"),
        ("x-landmarks", "x", "points", "landmarks"),
        ("9_bold", "9", "series", "bold"),
    ],
)
def test_a_known_word_at_the_end_is_the_role(name: str, head: str, kind: str, word: str) -> None:
    found = split_role(name)
    assert found is not None
    assert (found[0], found[1].kind, found[1].name) == (head, kind, word)


@pytest.mark.parametrize("name", ["hippocampus_001", "benign_016", "", "_", "T1_0001", "smask", "ct2"])
def test_other_names_have_no_role(name: str) -> None:
    assert split_role(name) is None


@pytest.mark.parametrize(
    ("name", "prefix", "kind"),
    [
        ("imagesTr", "", "image"),
        ("labels", "", "label"),
        ("fixed_images", "fixed", "image"),
        ("moving_labels", "moving", "label"),
        ("masks_train", "", "mask"),
        ("T1", "", "image"),
    ],
)
def test_folders_of_one_role_are_known(name: str, prefix: str, kind: str) -> None:
    found = folder_role(name)
    assert found is not None and (found[0], found[1].kind) == (prefix, kind)


def test_a_patients_folder_is_not_a_role() -> None:
    assert folder_role("patient_T1") is None and folder_role("1000") is None
    assert role_of("nonsense") is None
