"""From nothing to a run that can show a certain thing, by one click: phantom, then training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app.jobs import job_card, run_card
from workbench.app.messages import guard
from workbench.app.state import cohort_names, prefer


@dataclass(frozen=True)
class Start:
    """What one click makes.

    Attributes:
        sentence: what it shows.
        label: of the button.
        cohort: its name.
        kind: of the phantom.
        system, preset: that are trained on it.
        title: of the run.
        spacing_mm: of the phantom; None for the usual one.
    """

    sentence: str
    label: str
    cohort: str
    kind: str
    system: str
    preset: str
    title: str
    spacing_mm: float | None = None


STARTS = {
    "pathways": Start(
        "**One modality from the other.** Regional MRI and PET of 200 synthetic subjects, of whom it is known what "
        "one says of the other, and a deep Boltzmann machine with a pathway for each (preset *two pathways*).",
        "Make MRI and PET, and train",
        "sample-paired",
        "paired",
        "dbm",
        "two pathways",
        "Two pathways",
    ),
    "labels": Start(
        "**Samples of a class.** The 1,797 digits that scikit-learn brings along, and a restricted Boltzmann machine "
        "with label units (preset *labels*).",
        "Make digits, and train",
        "sample-digits",
        "digits",
        "rbm",
        "labels",
        "Digits with labels",
    ),
    "family-mlp": Start(
        "**Feed-forward network** (2.1, Figure 1) that names the 1,797 digits that scikit-learn brings along.",
        "Train a perceptron",
        "sample-digits",
        "digits",
        "mlp",
        "cpu",
        "Digits, perceptron",
    ),
    "family-dbn": Start(
        "**Deep belief network** (2.3.2, Figure 2b) on the same digits, layer by layer, then wake–sleep.",
        "Train a belief network",
        "sample-digits",
        "digits",
        "dbn",
        "quick",
        "Digits, belief network",
    ),
    "family-dbm": Start(
        "**Deep Boltzmann machine** (2.3.3, Figure 2c) on the same digits: doubled pretraining, then all layers.",
        "Train a Boltzmann machine",
        "sample-digits",
        "digits",
        "dbm",
        "digits",
        "Digits, Boltzmann machine",
    ),
    "family-cnn": Start(
        "**Convolutional network** (2.5, Figure 3) on the same digits.",
        "Train a convolutional network",
        "sample-digits",
        "digits",
        "cnn",
        "digits",
        "Digits, convolutional network",
    ),
    "family-rbm-digits": Start(
        "**Restricted Boltzmann machine** (2.3.2) on the same digits in black and white.",
        "Train an RBM",
        "sample-digits",
        "digits",
        "rbm",
        "digits",
        "Digits, restricted Boltzmann machine",
    ),
    "family-sae": Start(
        "**Stacked auto-encoder** (2.3.1, Figure 2a) on patches of synthetic brains, layer by layer.",
        "Train an auto-encoder",
        "sample-brains",
        "brain",
        "sae",
        "quick",
        "Brain patches, auto-encoder",
    ),
    "family-cnn-patches": Start(
        "**Convolutional network** (2.5, Figure 3) that names the tissue in the middle of a patch.",
        "Train a convolutional network on patches",
        "sample-brains",
        "brain",
        "cnn",
        "patches",
        "Brain patches, convolutional network",
    ),
    "family-rbm": Start(
        "**Restricted Boltzmann machine** (2.3.2) on whitened patches of synthetic brains.",
        "Train on image patches",
        "sample-brains",
        "brain",
        "rbm",
        "patches",
        "Brain patches, Boltzmann machine",
    ),
    "regions-suk2016": Start(
        "**Hidden states** (3.5, Figure 10): an auto-encoder and hidden Markov models of 40 synthetic subjects, whose "
        "patients leave their states sooner.",
        "Make states, and train",
        "sample-states",
        "bold-states",
        "suk2016",
        "quick",
        "States at rest",
    ),
    "regions-kim2016": Start(
        "**Connections** (3.5): a network on all pairs of regions whose weights are held sparse, of 60 synthetic "
        "subjects who differ in some connections.",
        "Make connections, and train",
        "sample-connections",
        "bold-edges",
        "kim2016",
        "quick",
        "Sparse connections",
    ),
    "regions-plis2014": Start(
        "**Networks** (3.5): a Boltzmann machine with sparse weights beside independent components, of 40 synthetic "
        "subjects whose eight networks are known.",
        "Make networks, and train",
        "sample-networks",
        "bold",
        "plis2014",
        "quick",
        "Networks at rest",
    ),
    "segment-kleesiek2016": Start(
        "**Skull stripping** (3.3): a fully convolutional network in three dimensions, on whole heads whose brain is "
        "known, surgery and odd contrasts included.",
        "Make heads, and train",
        "sample-heads",
        "head",
        "kleesiek2016",
        "quick",
        "Skull stripping",
        4.0,
    ),
    "segment-nie2016": Start(
        "**Infant tissue** (3.3, Figure 8): a network each for T1, T2 and FA, fused at the high layer, on brains whose "
        "grey and white matter look alike in T1 and T2.",
        "Make infants, and train",
        "sample-infants",
        "infant",
        "nie2016",
        "quick",
        "Infant tissue, fused",
        4.0,
    ),
    "segment-zhang2015": Start(
        "**Infant tissue by patches** (3.3): a network names the tissue in the middle of a patch of T1, T2 and FA.",
        "Make infants, and train on patches",
        "sample-infants",
        "infant",
        "zhang2015",
        "quick",
        "Infant tissue, patches",
        4.0,
    ),
    "segment-moeskops2016": Start(
        "**Eight structures from three scales** (3.3): patches of three sizes about a voxel, some structures told "
        "apart by their place alone.",
        "Make structures, and train",
        "sample-infant-regions",
        "infant-regions",
        "moeskops2016",
        "quick",
        "Structures from three scales",
        4.0,
    ),
    "segment-pereira2016": Start(
        "**Parts of tumors** (3.4): small kernels on T1, T1c, T2 and FLAIR of two scanners.",
        "Make tumors, and train",
        "sample-tumors",
        "tumor",
        "pereira2016",
        "quick",
        "Tumor parts",
        4.0,
    ),
    "segment-brosch2016": Start(
        "**White matter lesions** (3.4): encoder and decoder with a shortcut, on lesions and on what looks like them.",
        "Make lesions, and train",
        "sample-lesions",
        "lesion",
        "brosch2016",
        "quick",
        "Lesions",
        4.0,
    ),
}


def starter(name: str) -> None:
    """Show how to get such a run: the button, then how far it is, then a button that opens it."""
    start = STARTS[name]
    with st.container(border=True):
        st.markdown(start.sentence)
        job, run = st.session_state.get(f"starter-{name}"), _run(start)
        with guard("start that"):
            if run is not None and run.status().state == "finished":
                if st.button("Open it", type="primary", icon=":material/arrow_forward:", key=f"open-{name}"):
                    prefer("run", run.id)
                    st.rerun()
            elif run is not None:
                run_card(run.id, f"starter-{name}")
            elif job is not None and workflow.read_job(job).state == "running":
                job_card(job)
            elif job is not None and start.cohort in cohort_names():
                del st.session_state[f"starter-{name}"]  # made a moment ago: go on by itself
                _train(start)
                st.rerun()
            else:
                if job is not None:
                    job_card(job)
                st.button(
                    start.label, type="primary", icon=":material/play_arrow:", key=f"start-{name}", on_click=_begin,
                    args=(name,),
                )  # fmt: skip


def _begin(name: str) -> None:
    start = STARTS[name]
    with guard("start that"):
        if start.cohort in cohort_names():
            _train(start)
        else:
            st.session_state[f"starter-{name}"] = workflow.start_phantom(
                start.cohort, kind=start.kind, spacing_mm=start.spacing_mm
            ).id


def _train(start: Start) -> None:
    workflow.launch(start.system, start.cohort, preset=start.preset, title=start.title)


def _run(start: Start) -> Any:
    """Give the newest run of this start, if its cohort is still there."""
    if start.cohort not in cohort_names():
        return None
    mine = [r for r in workflow.list_runs() if r.title == start.title and _is_on(r, start.cohort)]
    return mine[0] if mine else None


def _is_on(run: Any, cohort: str) -> bool:
    return f"/{cohort}/" in (run.info.cohort or "").replace("\\", "/")
