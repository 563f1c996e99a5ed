"""Registrations as folders: written whole or not at all, listed, read back.

A registration lies in ``data/registrations/<id>/``, written beside its place and renamed into it when it is whole:

    registration.json   what was asked, the linear part, notes, scores, versions
    fixed.nii.gz, moving.nii.gz, warped.nii.gz
    field.nii.gz, inverse.nii.gz    displacements in mm as ITK, ANTs and 3D Slicer read them
    jacobian.nii.gz                 of the deformable part
    labels_fixed.nii.gz, labels_moving.nii.gz, labels_warped.nii.gz     where there are label maps
    energy.csv, points.csv

Until then only energy.csv grows there, a row an iteration, for whoever watches.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import __version__
from workbench.errors import RunError
from workbench.paths import registrations_dir

if TYPE_CHECKING:
    import numpy as np

    from workbench.imaging.subject import Subject
    from workbench.registration.match import EnergyRow
    from workbench.registration.registered import Registered

FILES = {
    "warped": "warped.nii.gz",
    "field": "field.nii.gz",
    "inverse": "inverse.nii.gz",
    "jacobian": "jacobian.nii.gz",
    "labels": "labels_warped.nii.gz",
    "energy": "energy.csv",
}
RECORD, ID = "registration.json", r"[0-9a-zA-Z-]{1,80}"
ENERGY_COLUMNS = ["stage", "iteration", "energy", "n_points"]


@dataclass(frozen=True)
class RegistrationPlan:
    """What is to be registered, and how.

    Attributes:
        cohort: name or path; empty where fixed and moving are files.
        fixed, moving: subjects of it, or paths of images.
        method: one of :func:`registration_methods`.
        modality: of the fixed image; empty takes its first.
        moving_modality: of the moving image; empty takes that of the fixed one.
        run_id: whose features drive the method, where it needs any.
        settings: differences from the usual ones.
        fixed_label, moving_label: label maps, where the images are files.
    """

    cohort: str
    fixed: str
    moving: str
    method: str
    modality: str = ""
    moving_modality: str = ""
    run_id: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    fixed_label: str = ""
    moving_label: str = ""


@dataclass(frozen=True)
class RegistrationRow:
    """One finished registration in a list.

    Attributes:
        id: its folder's name.
        plan: what was asked.
        title: the method as it is shown.
        when: seconds since the epoch.
        seconds: that it took.
        dice_before: mean over labels after the linear part alone; None without label maps.
        dice: mean over labels.
        folded_share: of fixed voxels.
    """

    id: str
    plan: RegistrationPlan
    title: str
    when: float
    seconds: float
    dice_before: float | None
    dice: float | None
    folded_share: float


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """One finished registration, read back.

    Attributes:
        id: its folder's name.
        plan: what was asked.
        registered: both images and the map between them.
        labels_fixed: (X, Y, Z) int32, or None.
        labels_moving: (X', Y', Z') int32, or None.
        labels_warped: (X, Y, Z) int32, the moving label map on the fixed lattice, or None.
        label_names: value → name.
        dice: name → Dice of each label.
        dice_before: the same after the linear part alone.
        record: everything in registration.json.
    """

    id: str
    plan: RegistrationPlan
    registered: Registered
    labels_fixed: np.ndarray | None
    labels_moving: np.ndarray | None
    labels_warped: np.ndarray | None
    label_names: dict[int, str]
    dice: dict[str, float]
    dice_before: dict[str, float]
    record: dict[str, Any]


def list_registrations() -> list[RegistrationRow]:
    """Give every registration that is kept, the latest first; a damaged one is left out."""
    rows = []
    for file in registrations_dir().glob(f"*/{RECORD}"):
        try:
            rows.append(_row(file.parent.name, json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(rows, key=lambda row: row.when, reverse=True)


def open_registration(registration_id: str) -> RegistrationResult:
    """Read a registration back.

    Raises:
        RunError: there is none of that name, or it is damaged.
    """
    import numpy as np
    import pandas as pd

    from workbench.errors import WorkbenchError
    from workbench.imaging.fields import read_field
    from workbench.imaging.files import read_volume
    from workbench.registration.match import EnergyRow
    from workbench.registration.registered import Registered

    folder = folder_of(registration_id)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        fixed, moving = (
            read_volume(folder / f"{which}.nii.gz", record["modalities"][i])
            for i, which in enumerate(("fixed", "moving"))
        )
        energy = pd.read_csv(folder / FILES["energy"]).itertuples(index=False)
        points = pd.read_csv(folder / "points.csv").to_numpy(np.float32)
        found = Registered(
            record["method"], fixed, moving, np.array(record["linear"]), read_field(folder / FILES["field"])[0],
            read_field(folder / FILES["inverse"])[0], record["folded_share"], tuple(EnergyRow(*row) for row in energy),
            points if len(points) else None, record["seconds"], tuple(record["notes"]),
        )  # fmt: skip
        fixed_labels, moving_labels, warped_labels = (_labels(folder, which) for which in ("fixed", "moving", "warped"))
    except (OSError, ValueError, KeyError, TypeError, WorkbenchError):
        raise RunError(
            f"The registration {registration_id} is damaged or incomplete; delete it and register again."
        ) from None
    names = {int(k): v for k, v in record["label_names"].items()}
    return RegistrationResult(
        registration_id, RegistrationPlan(**record["plan"]), found, fixed_labels, moving_labels, warped_labels,
        names, record["dice"], record["dice_before"], record,
    )  # fmt: skip


def add_energy(folder: Path, row: EnergyRow) -> None:
    """Append a row to the energy of a registration that goes on."""
    file = folder / FILES["energy"]
    begins = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows([ENERGY_COLUMNS, row] if begins else [row])


def read_energy(registration_id: str) -> bytes:
    """Give the energy of a registration that goes on or is finished, as CSV of whole lines: a row an iteration.

    Raises:
        RunError: there is none of that name, or it has not told any energy yet.
    """
    root = registrations_dir()
    if re.fullmatch(ID, registration_id):
        for folder in (*root.glob(f"{registration_id}.partial-*"), root / registration_id):
            with suppress(OSError):  # it has none yet, or has just taken its place
                told = (folder / FILES["energy"]).read_bytes()
                if whole := told[: told.rfind(b"\n") + 1]:
                    return whole
    raise RunError(f"The registration {registration_id!r} tells no energy yet; wait for its first iteration.")


def delete_registration(registration_id: str) -> None:
    """Remove a registration for good."""
    shutil.rmtree(folder_of(registration_id))


def store(
    folder: Path, plan: RegistrationPlan, found: Registered, pair: tuple[Subject, Subject], names: dict[int, str]
) -> None:
    """Write everything into an empty folder, the record last.

    Args:
        folder: where to.
        plan: what was asked.
        found: what came out.
        pair: whose images they are, fixed and moving; their label maps are warped and scored.
        names: of label values.
    """
    import numpy as np
    import pandas as pd

    from workbench.imaging.fields import write_field
    from workbench.imaging.nifti import write_nifti, write_result

    for name, volume in (("fixed", found.fixed), ("moving", found.moving), ("warped", found.warped())):
        write_result(volume, folder / f"{name}.nii.gz")
    write_field(found.field, found.fixed.affine, folder / FILES["field"])
    write_field(found.inverse, found.moving.affine, folder / FILES["inverse"])
    write_result(found.fixed.with_data(found.jacobian(), "Jacobian determinant"), folder / FILES["jacobian"])
    pd.DataFrame(found.energy, columns=ENERGY_COLUMNS).to_csv(folder / FILES["energy"], index=False)
    points = np.zeros((0, 6)) if found.points_mm is None else found.points_mm
    pd.DataFrame(points, columns=["fixed_x", "fixed_y", "fixed_z", "moving_x", "moving_y", "moving_z"]).to_csv(
        folder / "points.csv", index=False, float_format="%.4f"
    )
    maps = pair[0].label_map(found.fixed), pair[1].label_map(found.moving)
    dice: list[dict[str, float]] = [{}, {}]
    if maps[1] is not None:
        warped = found.warp_labels(maps[1])
        kept = (("fixed", found.fixed, maps[0]), ("moving", found.moving, maps[1]), ("warped", found.fixed, warped))
        for name, like, labels in kept:
            if labels is not None:
                write_nifti(like.with_data(labels, "labels"), folder / f"labels_{name}.nii.gz", dtype=np.int32)
        if maps[0] is not None:
            before = found.linear_alone().warp_labels(maps[1])
            dice = [_dice(labels, maps[0], names) for labels in (before, warped)]
    record = {
        "plan": asdict(plan), "method": found.method, "modalities": [found.fixed.modality, found.moving.modality],
        "linear": found.linear.tolist(), "folded_share": found.folded_share, "seconds": found.seconds,
        "notes": list(found.notes), "label_names": {str(k): v for k, v in names.items()}, "dice_before": dice[0],
        "dice": dice[1], "when": time.time(), "version": __version__,
        "longest_mm": float(np.linalg.norm(found.field, axis=0).max()),
        "smallest_jacobian": float(found.jacobian().min()),
    }  # fmt: skip
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def folder_of(registration_id: str) -> Path:
    """Give where a registration lies.

    Raises:
        RunError: there is none of that name.
    """
    folder = registrations_dir() / registration_id
    if not re.fullmatch(ID, registration_id) or not (folder / RECORD).is_file():
        raise RunError(f"There is no registration {registration_id!r}; register the pair again.")
    return folder


def _labels(folder: Path, which: str) -> np.ndarray | None:
    """Read a label map of a registration; None where there is none."""
    import numpy as np

    from workbench.imaging.files import read_volume

    file = folder / f"labels_{which}.nii.gz"
    return np.rint(read_volume(file, "labels").data[0]).astype(np.int32) if file.is_file() else None


def _row(name: str, record: dict[str, Any]) -> RegistrationRow:
    plan, dice = RegistrationPlan(**record["plan"]), (_mean(record["dice_before"]), _mean(record["dice"]))
    return RegistrationRow(
        name, plan, record["method"], record["when"], record["seconds"], *dice, record["folded_share"]
    )  # fmt: skip


def _mean(dice: dict[str, float]) -> float | None:
    return sum(dice.values()) / len(dice) if dice else None


def _dice(labels: np.ndarray, truth: np.ndarray, names: dict[int, str]) -> dict[str, float]:
    """Give Dice of every label that the fixed label map has, in the order of their values."""
    from workbench.metrics.label_pair import LabelPair, label_values

    pair = LabelPair.of((labels, truth), label_values(labels, truth), None)
    return {names.get(value, str(value)): pair.overlap([value]).dice for value in label_values(truth)}
