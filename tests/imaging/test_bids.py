"""BIDS trees: sessions, entities, tables, derivatives."""

from __future__ import annotations

from pathlib import Path

from workbench.imaging.bids import entities, is_bids, read_bids


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_a_tree_becomes_subjects_in_their_persons_group(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
        "sub-02/ses-1/pet/sub-02_ses-1_pet.nii.gz",
        "sub-10/ses-1/dwi/sub-10_ses-1_dwi.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_T1w.json",
        "README",
        "code/x.png",
    )
    (root / "participants.tsv").write_text(
        "participant_id\tage\tgroup\tsex\nsub-01\t70\tpatient\tF\nsub-02\tn/a\tcontrol\tM\n"
    )
    (root / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tmmse\nses-1\t29\nses-2\t25\n")
    assert is_bids(root)
    plan = read_bids(root)
    got = {d.name: ([c for c, _ in d.sources()], d.group, d.covariates) for d in plan.drafts}
    assert got == {
        "sub-01_ses-1": (
            ["image:T1w", "series"],
            "sub-01",
            {"age": "70", "participants_group": "patient", "sex": "F", "session": "ses-1", "mmse": "29"},
        ),
        "sub-01_ses-2": (
            ["image:T1w"],
            "sub-01",
            {"age": "70", "participants_group": "patient", "sex": "F", "session": "ses-2", "mmse": "25"},
        ),
        "sub-02_ses-1": (
            ["image:T1w", "image:pet"],
            "sub-02",
            {"participants_group": "control", "sex": "M", "session": "ses-1"},
        ),
        "sub-10_ses-1": (["image:dwi"], "sub-10", {"session": "ses-1"}),
    }
    assert any("copy it to a column named target" in note for note in plan.notes)


def test_repeated_and_meaningful_entities(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "sub-1/anat/sub-1_run-2_T1w.nii.gz",
        "sub-1/anat/sub-1_run-10_T1w.nii.gz",
        "sub-1/anat/sub-1_ce-gd_T1w.nii.gz",
        "sub-1/pet/sub-1_trc-FDG_pet.nii.gz",
        "sub-1/func/sub-1_task-a_bold.nii.gz",
        "sub-1/func/sub-1_task-b_bold.nii.gz",
        "sub-1/func/sub-1_task-a_sbref.nii.gz",
        "sub-1/anat/sub-1_defacemask.nii.gz",
    )
    plan = read_bids(root)
    (draft,) = plan.drafts
    assert draft.name == draft.group == "sub-1"
    assert set(draft.images) == {"T1w", "T1w_run-10", "T1w_ce-gd", "pet_trc-FDG"}
    assert draft.images["T1w"].path.name == "sub-1_run-2_T1w.nii.gz"
    assert set(draft.files) == {"series", "series:task-b"}
    assert len(plan.left_out) == 2


def test_derivatives_give_label_and_mask_on_the_subjects_grid(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "sub-1/anat/sub-1_T1w.nii.gz",
        "derivatives/p/sub-1/anat/sub-1_space-MNI152_dseg.nii.gz",
        "derivatives/p/sub-1/anat/sub-1_dseg.nii.gz",
        "derivatives/p/sub-1/anat/sub-1_desc-brain_mask.nii.gz",
        "derivatives/p/sub-1/anat/sub-1_label-GM_probseg.nii.gz",
        "derivatives/p/sub-9/anat/sub-9_dseg.nii.gz",
        "derivatives/q/sub-1/anat/sub-1_desc-other_mask.nii.gz",
    )
    plan = read_bids(root)
    (draft,) = plan.drafts
    assert (
        draft.files["label"].path.name == "sub-1_dseg.nii.gz"
        and draft.files["mask"].path.name == "sub-1_desc-brain_mask.nii.gz"
    )
    reasons = " ".join(one.reason for one in plan.left_out)
    assert "lies in space MNI152" in reasons and "has no image" in reasons and "already has a mask" in reasons
    assert any("1 images under derivatives" in note for note in plan.notes)


def test_lesion_masks_are_labels(tmp_path: Path) -> None:
    root = tree(tmp_path, "sub-1/anat/sub-1_FLAIR.nii.gz", "derivatives/r/sub-1/anat/sub-1_label-lesion_mask.nii.gz")
    assert "label" in read_bids(root).drafts[0].files


def test_a_broken_participants_table_does_no_harm(tmp_path: Path) -> None:
    root = tree(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz")
    for text in ("", "name\tage\nsub-1\t3\n", "participant_id\tage\nsub-1\n\nsub-2\t1\t2\t3\n"):
        (root / "participants.tsv").write_text(text)
        assert len(read_bids(root).drafts) == 1


def test_a_target_column_is_the_target(tmp_path: Path) -> None:
    root = tree(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz")
    (root / "participants.tsv").write_text("participant_id\ttarget\nsub-1\tAD\n")
    draft = read_bids(root).drafts[0]
    assert draft.target == "AD" and "target" not in draft.covariates


def test_names_are_taken_apart() -> None:
    assert entities("sub-1_run-2_T1w.nii.gz") == ({"sub": "1", "run": "2"}, "T1w")
    assert not is_bids(Path(__file__).parent)


def test_a_preprocessed_run_comes_with_confounds_and_repetition_time(tmp_path: Path) -> None:
    prep = "derivatives/fmriprep/sub-1/func/sub-1_task-rest_run-1"
    root = tree(
        tmp_path,
        "sub-1/func/sub-1_task-rest_run-1_bold.nii.gz",
        "sub-2/func/sub-2_task-rest_bold.nii.gz",
        f"{prep}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz",
        f"{prep}_space-T1w_desc-preproc_bold.nii.gz",
        f"{prep}_desc-confounds_timeseries.tsv",
        "derivatives/fmriprep/sub-1/func/sub-1_task-rest_run-2_desc-confounds_timeseries.tsv",
    )
    (root / "task-rest_bold.json").write_text('{"RepetitionTime": 2.5}')
    (root / "sub-2/func/sub-2_task-rest_bold.json").write_text('{"RepetitionTime": 3}')
    plan = read_bids(root)
    one, two = plan.drafts
    assert {c: s.path.name.removeprefix("sub-1_task-rest_run-1_") for c, s in one.files.items()} == {
        "series": "space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz",
        "series:raw": "bold.nii.gz",
        "confounds": "desc-confounds_timeseries.tsv",
    }
    assert (one.covariates["tr_s"], two.covariates["tr_s"]) == ("2.5", "3") and set(two.files) == {"series"}
    assert "preprocessed in MNI space; the raw one is series:raw" in plan.notes[0]
