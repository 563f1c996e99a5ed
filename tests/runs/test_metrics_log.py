from __future__ import annotations

from pathlib import Path

from workbench.runs.metrics_log import append_metrics, read_metrics, rewind_metrics


def test_values_come_back_in_long_form(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    append_metrics(path, "pretrain 1, left", 1, 5, {"mse": 0.25, "val_mse": float("nan")})
    table = read_metrics(path)
    assert list(table.columns) == ["time", "stage", "epoch", "step", "name", "value"]
    assert table.stage.tolist() == ["pretrain 1, left"] * 2 and table.value.tolist()[0] == 0.25
    assert table.value.isna().tolist() == [False, True]


def test_a_missing_or_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    assert len(read_metrics(tmp_path / "metrics.csv")) == 0
    (tmp_path / "metrics.csv").touch()
    assert len(read_metrics(tmp_path / "metrics.csv")) == 0


def test_every_cut_of_the_last_line_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    append_metrics(path, "a", 1, 1, {"mse": 1.5})
    append_metrics(path, "a", 1, 2, {"mse": 2.5})
    whole = path.read_bytes()
    first_end = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for cut in range(first_end, len(whole)):
        path.write_bytes(whole[:cut])
        assert read_metrics(path).value.tolist() == [1.5]


def test_damaged_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    append_metrics(path, "a", 1, 1, {"mse": 1.5})
    with path.open("ab") as file:
        file.write(b"a,b\n\xff\xfe,,,,,\n1,a,x,1,mse,3\n")
    append_metrics(path, "a", 1, 2, {"mse": 2.5})
    assert read_metrics(path).value.tolist() == [1.5, 2.5]


def test_rewinding_drops_what_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for step in (1, 2, 3):
        append_metrics(path, "a", 1, step, {"mse": float(step)})
    path.write_bytes(path.read_bytes() + b"17,a,1,4,ms")
    rewind_metrics(path, lambda stage, step: step <= 2)
    append_metrics(path, "a", 1, 3, {"mse": 30.0})
    assert read_metrics(path).value.tolist() == [1.0, 2.0, 30.0]
