"""Registration: bring one image onto another, keep the answer as a folder, hand it on."""

from __future__ import annotations

import json
import secrets
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.doors.cohorts import open_cohort
from workbench.doors.registration_store import (
    FILES,
    RegistrationPlan,
    add_energy,
    folder_of,
    open_registration,
    read_energy,
    store,
)
from workbench.doors.runs import open_run
from workbench.doors.views import able
from workbench.errors import SettingsError
from workbench.paths import registrations_dir
from workbench.progress import Progress, silent
from workbench.runs import job

if TYPE_CHECKING:
    from workbench.imaging.subject import Subject
    from workbench.systems.form import Field
    from workbench.systems.registration_settings import MethodChoice

Export = Literal["warped", "field", "inverse", "jacobian", "labels", "energy", "report"]


def registration_methods() -> list[MethodChoice]:
    """Give every method: its key, title, a sentence, and whether it needs a trained run."""
    from workbench.systems.registration_settings import METHODS

    return list(METHODS.values())


def registration_fields() -> list[Field]:
    """Give what a form needs to know of each setting."""
    from workbench.systems.form import fields
    from workbench.systems.registration_settings import RegistrationSettings

    return fields(RegistrationSettings)


def check_registration(plan: RegistrationPlan) -> RegistrationPlan:
    """Say before anything is started what would not work, and give the plan.

    Raises:
        SettingsError: an unknown method or setting, no run where one is needed, or an image onto itself.
        CohortError: a subject or modality is missing.
        RunError: the run gives no features, or is not finished.
    """
    from workbench.systems.registration_settings import RegistrationSettings, method_of

    method = method_of(plan.method)
    RegistrationSettings.make(plan.settings)
    if method.needs_run and not plan.run_id:
        raise SettingsError(
            f"{method.title} needs a trained run that gives features; train one (Wu 2016, Wu 2013, an auto-encoder) "
            "and name it."
        )
    if plan.run_id:
        able(plan.run_id, "learnt_features")
    if plan.fixed == plan.moving and (plan.moving_modality or plan.modality) == plan.modality:
        raise SettingsError("The fixed and the moving image are the same; choose two images.")
    for subject in _subjects(plan):
        wanted = plan.modality if subject.name == plan.fixed else plan.moving_modality or plan.modality
        if wanted:
            subject.volume(wanted)
    return plan


def register(plan: RegistrationPlan, progress: Progress = silent) -> str:
    """Register, keep the result and give its id; nothing is kept when it fails or is cancelled.

    Raises:
        WorkbenchError: as :func:`check_registration` says, and what the images themselves forbid.
        Cancelled: ``progress`` said so.
    """
    return write_registration(plan, registrations_dir() / _new_id(plan), progress)


def write_registration(plan: RegistrationPlan, out: Path, progress: Progress = silent) -> str:
    """Register into a folder of one's own, which must not hold anything yet, and give its name."""
    from workbench.phantoms.new_folder import new_folder, refuse_taken
    from workbench.systems.registering import register_subjects
    from workbench.systems.registration_settings import RegistrationSettings, method_of

    refuse_taken(out, "registration")
    check_registration(plan)
    fixed, moving = _subjects(plan)
    learnt = able(plan.run_id, "learnt_features").learnt_features(open_run(plan.run_id)) if plan.run_id else None
    with new_folder(out, "registration") as folder:
        found = register_subjects(
            method_of(plan.method), fixed, moving, RegistrationSettings.make(plan.settings),
            modalities=(plan.modality, plan.moving_modality or plan.modality), learnt=learnt, progress=progress,
            heard=partial(add_energy, folder),
        )  # fmt: skip
        progress(0.98, "Writing the results")
        names = open_cohort(plan.cohort).label_names if plan.cohort else {}
        store(folder, plan, found, (fixed, moving), names)
    return out.name


def start_registration(plan: RegistrationPlan) -> job.Job:
    """Begin :func:`register` in a process of its own; follow it with :func:`read_job`.

    Returns:
        Its first status. The result is the id that the registration will have, under which its energy can be read
        (:func:`export_registration`) while it goes on.
    """
    check_registration(plan)
    name = _new_id(plan)
    chosen = [("--cohort", plan.cohort), ("--method", plan.method), ("--modality", plan.modality),
              ("--moving-modality", plan.moving_modality), ("--run", plan.run_id), ("--fixed-label", plan.fixed_label),
              ("--moving-label", plan.moving_label)]  # fmt: skip
    words = [word for name, value in chosen if value for word in (name, value)]
    words += [word for key, value in plan.settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    words += ["--out", str(registrations_dir() / name)]
    return job.start_job(["register", plan.fixed, plan.moving, *words], result=name)


def export_registration(registration_id: str, what: Export = "warped") -> bytes:
    """Give a file of a registration: NIfTI, its energy as CSV, or the report as one HTML page.

    The energy is there from the first iteration on, before the registration has ended.

    Raises:
        RunError: there is no such registration.
        SettingsError: something that is not there to be exported.
    """
    if what == "energy":
        return read_energy(registration_id)
    folder = folder_of(registration_id)
    if what == "report":
        from workbench.doors.registration_report import report

        return report(open_registration(registration_id)).encode()
    if what not in FILES or not (folder / FILES[what]).is_file():
        there = [name for name, file in FILES.items() if (folder / file).is_file()]
        raise SettingsError(f"What can be exported is one of {', '.join([*there, 'report'])}; got {what!r}.")
    return (folder / FILES[what]).read_bytes()


def correspondence_at(registration_id: str, point_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Give the place in the moving image, in mm, of a point of the fixed one."""
    import numpy as np

    x, y, z = open_registration(registration_id).registered.warp_points(np.array([point_mm], float))[0]
    return float(x), float(y), float(z)


def _new_id(plan: RegistrationPlan) -> str:
    return f"{plan.method}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _subjects(plan: RegistrationPlan) -> tuple[Subject, Subject]:
    """Give whose images are meant: of a cohort, or of two files."""
    from workbench.imaging.subject import Subject

    if plan.cohort:
        cohort = open_cohort(plan.cohort)
        return cohort[plan.fixed], cohort[plan.moving]
    made = []
    for path, label in ((plan.fixed, plan.fixed_label), (plan.moving, plan.moving_label)):
        made.append(Subject(path, images={"image": Path(path)}, label=Path(label) if label else None))
    return made[0], made[1]
