"""Which pair, by which method, with which settings: the form of a registration, and the road for two files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app import register_reads, state
from workbench.app.bring import follow, watch_job
from workbench.app.forms import changed_fields
from workbench.app.frame import path
from workbench.app.messages import guard, plain
from workbench.errors import SettingsError

COHORT, FILES = "From a cohort", "Two files of mine"
SAMPLE = "sample-brains"
GROUPS = {
    "none": (),
    "demons": ("Demons",),
    "diffeomorphic": ("Demons",),
    "channels": ("Demons",),
    "hammer": ("HAMMER",),
}
SUFFIXES = (".nii.gz", ".nii")
LINEAR = "linear"


def register_form(*, expanded: bool) -> None:
    """Let the user choose a pair and a method, and start; it closes then, so that the work is seen."""
    busy = register_reads.is_busy()
    with st.expander(
        "Register a pair", icon=":material/add_link:", expanded=expanded and not busy, key=f"register-form-{busy}"
    ):
        watch_job()
        pairs = [n for n in state.cohort_names(with_images=True) if _n_subjects(n) > 1]
        if not pairs:
            _nothing()
        way = st.segmented_control(
            "Images",
            [COHORT, FILES],
            default=COHORT if pairs else FILES,
            required=True,
            key=f"register-way-{bool(pairs)}",
        )
        with guard("prepare this registration"):
            if way == FILES:
                _files()
            elif pairs:
                _choose(pairs, busy)


def _n_subjects(cohort: str) -> int:
    return next((len(c) for c in workflow.list_cohorts() if c.name == cohort), 0)


def _nothing() -> None:
    st.markdown(
        "A registration brings one image onto another. There are no two images yet: bring two files of your own below, "
        "or look at it on synthetic brains, whose labels say how good it is."
    )
    with st.container(horizontal=True):
        if st.button("Make sample brains", icon=":material/auto_awesome:", key="register-sample", type="primary"):
            with guard("make these brains"):
                follow(workflow.start_phantom(SAMPLE, kind="brain", n_subjects=4, spacing_mm=4.0).id, SAMPLE)
        if st.button("Bring a cohort", icon=":material/folder_open:", key="register-bring"):
            st.switch_page(path("data"))


def _choose(pairs: list[str], busy: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cohort = workflow.open_cohort(state.choose("Cohort", pairs, "cohort"))
        names = [s.name for s in cohort]
        fixed = state.choose(
            "Fixed", names, "fixed", help="The image that stays, the template; results have its lattice."
        )
        others = [n for n in names if n != fixed]
        moving = state.choose("Moving", others, "moving", help="The image that is brought onto it, the subject.")
        here, there = (list(cohort[s].images) for s in (fixed, moving))
        modality = state.choose("Modality", here, "modality") if len(here) > 1 else here[0]
        usual = modality if modality in there else there[0]
        other = st.selectbox("Moving modality", there, there.index(usual), key=f"register-other-{moving}-{modality}") \
            if len(there) > 1 else there[0]  # fmt: skip
    left, right = st.columns([3, 2], gap="large")
    with left:
        method = _method()
    with right:
        run = _run() if method.needs_run else ""
        settings = _settings(method)
        plan = workflow.RegistrationPlan(
            cohort.name, fixed, moving, method.key, modality, other, run, settings,
        )  # fmt: skip
        st.button(
            "Register", type="primary", icon=":material/play_arrow:", key="register-go", on_click=register_reads.start,
            args=(plan,), disabled=busy or (method.needs_run and not run),
        )  # fmt: skip
        _told(cohort, fixed, moving)


def _method() -> Any:
    methods = {m.key: m for m in workflow.registration_methods()}
    key = st.radio(
        "Method", list(methods), index=min(2, len(methods) - 1), key="register-method",
        format_func=lambda k: methods[k].title, captions=[plain(m.sentence) for m in methods.values()],
    )  # fmt: skip
    return methods[key]


def _run() -> str:
    runs = state.runs_that_show("learnt_features")
    if not runs:
        st.info("No trained run gives features yet.", icon=":material/info:")
        if st.button("Train one", icon=":material/model_training:", key="register-train"):
            st.switch_page(path("train"))
        return ""
    return state.choose("Features of the run", list(runs), "run", format_func=runs.__getitem__)


def _settings(method: Any) -> dict[str, Any]:
    """Show the linear start, and the rest behind a door; give what differs from the usual."""
    fields = [f for f in workflow.registration_fields() if f.group in ("Start", "Images", *GROUPS[method.engine])]
    first = [f for f in fields if f.name == LINEAR]
    settings = changed_fields(first, f"register-{method.key}")
    with st.expander("More settings", icon=":material/tune:"):
        return settings | changed_fields([f for f in fields if f.name != LINEAR], f"register-{method.key}")


def _told(cohort: Any, fixed: str, moving: str) -> None:
    if cohort[fixed].label is not None and cohort[moving].label is not None:
        st.caption("Both have label maps: their Dice before and after is counted, and never used to register.")
    else:
        st.caption("Without label maps of both, no Dice can say how good the correspondence is.")


def _files() -> None:
    """Take two images, and label maps where there are some, as a cohort of two."""
    left, right = st.columns(2)
    with left:
        fixed = st.file_uploader("Fixed image", type=["nii", "gz"], key="register-fixed", help="NIfTI; it stays.")
        fixed_label = st.file_uploader("Its label map, if any", type=["nii", "gz"], key="register-fixed-label")
    with right:
        moving = st.file_uploader("Moving image", type=["nii", "gz"], key="register-moving", help="NIfTI; it is moved.")
        moving_label = st.file_uploader("Its label map, if any", type=["nii", "gz"], key="register-moving-label")
    ready = fixed is not None and moving is not None
    clicked = st.button(
        "Bring them in", type="primary", icon=":material/upload:", key="register-upload", disabled=not ready
    )
    st.caption("They become a cohort of two and stay on this machine. Choose the method next.")
    if clicked and fixed is not None and moving is not None:
        names = subject_names(fixed.name, moving.name)
        name = _free("-".join(names)[:40])
        job = workflow.start_upload(as_cohort(names, (fixed, moving), (fixed_label, moving_label)), name)
        state.prefer("fixed", names[0])
        state.prefer("moving", names[1])
        for key in ("register-way-True", "register-way-False"):
            st.session_state.pop(key, None)
        follow(job.id, name)


def as_cohort(names: Sequence[str], images: Sequence[Any], labels: Sequence[Any]) -> list[tuple[str, Any]]:
    """Give uploads as a cohort with its table, so that nothing is guessed from the names of the files.

    Args:
        names: of the subjects.
        images: one a subject, with a name.
        labels: the same of label maps; None where there is none.
    """
    rows, files = ["subject,image:image,label"], []
    for name, image, label in zip(names, images, labels, strict=True):
        given = [(f"{name}.{what}.{ending(f.name)}", f) if f is not None else ("", None)
                 for what, f in (("image", image), ("label", label))]  # fmt: skip
        rows.append(",".join([name, *(file for file, _ in given)]))
        files += [(file, stream) for file, stream in given if stream is not None]
    return [*files, ("cohort.csv", BytesIO("\n".join(rows).encode()))]


def subject_names(fixed: str, moving: str) -> tuple[str, str]:
    """Call two subjects by their files; by what they are for where that does not tell them apart."""
    stems = [re.sub(r"[^A-Za-z0-9]+", "-", name[: -len(ending(name)) - 1]).strip("-")[:24] for name in (fixed, moving)]
    if not all(stems) or stems[0].lower() == stems[1].lower():
        return "fixed", "moving"
    return stems[0], stems[1]


def ending(name: str) -> str:
    """Give how a NIfTI file's name ends, without the leading dot.

    Raises:
        SettingsError: it is no NIfTI image by its name.
    """
    found = next((s for s in SUFFIXES if name.lower().endswith(s)), None)
    if found is None:
        raise SettingsError(f"{name} is no NIfTI image; give both as .nii or .nii.gz, or import other formats on Data.")
    return found[1:]


def _free(name: str) -> str:
    taken, free, number = set(state.cohort_names()), name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
