"""What the Register page reads: the energy of what goes on, and whether anything was bent."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st

from workbench import workflow
from workbench.app import register_reads
from workbench.errors import RunError
from workbench.registration.match import EnergyRow


def test_before_its_first_row_an_energy_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ["", "stage,iteration,energy,n_points\n", 'stage,iteration,energy,n_points\n"round 1, stage 1",1,0.5,9\n']

    def export(registration_id: str, what: str) -> bytes:
        if not (text := told.pop(0)):
            raise RunError("not yet")
        return text.encode()

    monkeypatch.setattr(workflow, "export_registration", export)
    assert [len(register_reads.energy_so_far("one")) for _ in range(2)] == [0, 0]
    assert register_reads.energy_so_far("one").to_numpy().tolist() == [["round 1, stage 1", 1, 0.5, 9]]


@pytest.mark.parametrize(("n_rows", "largest", "is_deformed"), [(1, 2.0, True), (1, 1e-4, False), (0, 0.01, False)])
def test_a_linear_map_alone_bends_nothing(n_rows: int, largest: float, is_deformed: bool) -> None:
    made = SimpleNamespace(energy=(EnergyRow("s", 1, 0.5, 9),) * n_rows)
    assert register_reads._is_deformed(made, np.full((3, 2, 2, 2), largest)) is is_deformed


def test_work_whose_folder_is_gone_keeps_nobody_busy(data_root: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", {register_reads.JOB: SimpleNamespace(id="1")})
    assert not register_reads.is_busy()
