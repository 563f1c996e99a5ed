"""The command line as a user sees it: exit codes, sentences, one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import cli

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ.copy(),
        timeout=240,
    )


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run in this process: (exit code, standard output, standard error)."""
    try:
        cli.main(list(arguments))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err


def test_list_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "list", "--json")
    systems = json.loads(out)["systems"]
    assert code == 0 and {"name", "section", "reference", "kind", "title"} <= set(systems[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "wu2016", "--cohort", "nowhere"], "There is no cohort at nowhere"),
        (["train", "nobody2020", "--cohort", "x"], "There is no system 'nobody2020'"),
        (["train", "wu2016"], "Say what to train on what"),
        (["phantom", "heart", "out"], "There is no phantom 'heart'"),
        (["inspect", "nowhere"], "There is no cohort"),
        (["resume", "wu2016-20200101-000000-abcd"], "wu2016-20200101-000000-abcd"),
        (["resume", "../../etc"], ""),
        (["import", "nowhere", "out"], "nowhere"),
        (["train", "wu2016", "--cohort", "x", "--set", "patch_size"], "write it as key=value"),
    ],
)
def test_mistakes_end_with_2_and_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 2 and not out
    assert sentence in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


def test_a_bad_setting_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call(capsys, "phantom", "brain", str(tmp_path / "c"), "--subjects", "1", "--spacing", "8")
    code, _, err = call(capsys, "train", "wu2016", "--cohort", str(tmp_path / "c"), "--set", "patch_size=400")
    assert code == 2 and "patch_size = 400" in err and "41" in err


@pytest.mark.slow
def test_the_whole_road(tmp_path: Path) -> None:
    cohort = tmp_path / "brains"
    made = run("phantom", "brain", str(cohort), "--subjects", "3", "--spacing", "8", "--json")
    assert json.loads(made.stdout)["subjects"] == 4, made.stderr
    assert json.loads(run("inspect", str(cohort), "--json").stdout)
    trained = json.loads(run("train", "wu2016", "--cohort", str(cohort), "--quick", "--json").stdout)
    assert trained["state"] == "finished"
    scores = json.loads(run("evaluate", trained["run"], "--cohort", str(cohort), "--json").stdout)
    assert {"run", "subjects", "summary"} <= set(scores)
    out = tmp_path / "out"
    written = json.loads(run("predict", trained["run"], "--cohort", str(cohort), "--out", str(out), "--json").stdout)
    assert len(written["predictions"]) == 4 and all(Path(p).is_file() for p in written["predictions"])
    assert run("figure", trained["run"], "filters", "--out", str(tmp_path / "f.html")).returncode == 0
    assert (tmp_path / "f.html").stat().st_size > 10_000
    again = run("resume", trained["run"], "--extend", "1", "--json")
    assert json.loads(again.stdout)["state"] == "finished", again.stderr
    assert run("figure", trained["run"], "nothing", "--out", str(tmp_path / "g.html")).returncode == 2


@pytest.mark.slow
def test_a_pickled_checkpoint_is_refused(tmp_path: Path) -> None:
    import pickle

    cohort, sign = tmp_path / "brains", tmp_path / "ran"
    run("phantom", "brain", str(cohort), "--subjects", "3", "--spacing", "8")
    trained = Path(json.loads(run("train", "wu2016", "--cohort", str(cohort), "--quick", "--json").stdout)["run"])
    bomb = b"cos\nsystem\n(S'touch " + str(sign).encode() + b"'\ntR."
    assert pickle.dumps and bomb
    for file in (trained / "checkpoints").glob("fine*.ckpt"):
        file.write_bytes(bomb)
    refused = run("resume", str(trained), "--extend", "1")
    assert refused.returncode == 2 and "checkpoint" in refused.stderr and "Traceback" not in refused.stderr
    assert not sign.exists()


def test_two_files_are_registered_into_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = tmp_path / "brains"
    assert call(capsys, "phantom", "brain", str(made), "--subjects", "1", "--spacing", "4")[0] == 0
    fixed, moving = (str(made / name / "T1.nii.gz") for name in ("template", "brain-01"))
    labels = [
        w
        for n, k in (("template", "fixed"), ("brain-01", "moving"))
        for w in (f"--{k}-label", str(made / n / "label.nii.gz"))
    ]
    words = ["register", fixed, moving, "--method", "diffeomorphic-demons", "--out", str(tmp_path / "out"), *labels]
    code, out, _ = call(capsys, *words, "--set", "n_iterations=10", "--json")
    record = json.loads(out)
    assert code == 0 and record["folded_share"] == 0
    assert sum(record["dice"].values()) > sum(record["dice_before"].values())
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"warped.nii.gz", "field.nii.gz", "inverse.nii.gz", "jacobian.nii.gz", "labels_warped.nii.gz"} <= written
    code, _, err = call(capsys, *words)
    assert code == 2 and "already holds something" in err


def test_an_unknown_registration_method_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "register", "a.nii", "b.nii", "--method", "magic")
    assert code == 2 and "hammer-learnt" in err
