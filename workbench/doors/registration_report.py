"""A registration as one HTML page to hand on: what was asked, what came out, how to see whether it can be trusted."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.doors.registration_store import RegistrationResult

RESEARCH = "Research use only, not for diagnosis."


def report(found: RegistrationResult) -> str:
    """Give the page; it opens without a network."""
    import pandas as pd

    from workbench.figures.export import to_report
    from workbench.figures.registration_energy import energy_curve
    from workbench.figures.registration_fields import deformed_grid, jacobian_map
    from workbench.figures.registration_methods import Registration, figure_6

    made, record = found.registered, found.record
    warped = made.warped()
    before = made.linear_alone()
    labels = None if found.labels_moving is None else before.warp_labels(found.labels_moving)
    columns = [
        Registration("Linear start", before.warped(), labels, _mean(found.dice_before), None),
        Registration(made.method, warped, found.labels_warped, _mean(found.dice), made.folded_share),
    ]
    energy = pd.DataFrame(made.energy, columns=["stage", "iteration", "energy", "n_points"])
    deformation = made.deformation()
    sections = [
        ("What was asked", _table(_asked(found)) + f"<p><b>{RESEARCH}</b></p>", None),
        ("What came out", _table(_outcome(record)) + _notes(made.notes), None),
        ("Overlap of labels", _dice(found), None),
        ("Fixed image and moving image, before and after", "", figure_6(made.fixed, found.labels_fixed, columns)),
        ("Deformed grid", "", deformed_grid(warped, deformation)),
        ("Jacobian determinant", "", jacobian_map(made.fixed, made.jacobian(), folded_share=made.folded_share)),
        ("Energy", "", energy_curve(energy)),
    ]
    return to_report(f"Registration of {found.plan.moving} onto {found.plan.fixed}", sections)


def _asked(found: RegistrationResult) -> dict[str, str]:
    plan = found.plan
    images = [
        f"{name}, {volume.modality}, {' × '.join(map(str, volume.shape))} voxels of "
        f"{' × '.join(f'{s:.3g}' for s in volume.spacing)} mm"
        for name, volume in ((plan.fixed, found.registered.fixed), (plan.moving, found.registered.moving))
    ]
    settings = ", ".join(f"{key} = {value}" for key, value in plan.settings.items()) or "as usual"
    return {
        "Fixed image": images[0],
        "Moving image": images[1],
        "Cohort": plan.cohort or "two files",
        "Method": found.registered.method,
        "Features from run": plan.run_id or "–",
        "Settings": settings,
    }


def _outcome(record: dict[str, Any]) -> dict[str, str]:
    smallest = record["smallest_jacobian"]
    return {
        "Made": f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(record['when']))}, version {record['version']}",
        "Time": f"{record['seconds']:.1f} s",
        "Voxels that fold": f"{100 * record['folded_share']:.2g} % (smallest Jacobian determinant {smallest:.3g})",
        "Longest displacement": f"{record['longest_mm']:.1f} mm, the linear part included",
    }


def _dice(found: RegistrationResult) -> str:
    if not found.dice:
        return "<p>There are no label maps of both images, so nothing says how good the correspondence is.</p>"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{found.dice_before[name]:.3f}</td><td>{value:.3f}</td></tr>"
        for name, value in found.dice.items()
    )
    return f"<table><tr><th>Label</th><th>Dice after the linear part</th><th>Dice</th></tr>{rows}</table>"


def _table(rows: dict[str, str]) -> str:
    cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _notes(notes: tuple[str, ...]) -> str:
    return "".join(f"<p>{html.escape(note)}</p>" for note in notes)


def _mean(dice: dict[str, float]) -> float | None:
    return sum(dice.values()) / len(dice) if dice else None
