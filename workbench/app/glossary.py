"""Terms of the pages in a sentence each, with the place in the review that explains them."""

from __future__ import annotations

import streamlit as st

REVIEW = "https://doi.org/10.1146/annurev-bioeng-071516-044442"
REVIEW_NAME = "Shen, Wu, Suk 2017, *Deep Learning in Medical Image Analysis*"

TERMS: dict[str, tuple[str, str]] = {
    "Auto-encoder": (
        "A network that learns to give back its input through a hidden layer, and so finds a code for it.",
        "2.3.1",
    ),
    "Stacked auto-encoder": (
        "Auto-encoders on top of each other: each takes the hidden units of the one below as its input.",
        "2.3.1",
    ),
    "Sparse auto-encoder": (
        "An auto-encoder that is charged for units which are active too often, so that few are at a time.",
        "3.1",
    ),
    "Denoising": ("The input is corrupted, the target is not: the network has to learn what belongs together.", "2.6"),
    "Pretraining": ("Layers are trained one after the other, each with the layers below kept as they are.", "2.3"),
    "Fine-tuning": ("All layers together are trained on, from where pretraining has left them.", "2.4"),
    "Patch": ("A small box of voxels around a point; the input of the network in place of the whole image.", "2.2"),
    "Filter": ("The weights from the input voxels to one hidden unit, drawn as the patch that excites it most.", "3.1"),
    "Dead unit": ("A hidden unit that is active for nearly no input, and so says nothing.", "2.3.1"),
    "Correspondence": ("The point of another brain that is the same place of the anatomy.", "3.1"),
    "Similarity map": (
        "For one point of the template: how alike each voxel of the subject is under a kind of feature.",
        "3.1",
    ),
    "SIFT": (
        "Histograms of the directions of the gradient around a point: a feature that was designed by hand.",
        "3.1",
    ),
    "Registration": (
        "Finding for every point of a fixed image where it lies in a moving one, and bringing this one onto it.",
        "3.1",
    ),
    "Displacement field": (
        "An arrow, in mm, from every voxel of the fixed image to the place of the moving one that it corresponds to.",
        "3.1",
    ),
    "Jacobian determinant": (
        "How many times larger a small piece of volume is in the moving image than in the fixed one; 0 and below is a "
        "fold, which no anatomy has.",
        "3.1",
    ),
    "HAMMER": (
        "Registration by features: the most distinctive voxels look for their correspondence first, softly, then ever "
        "more of them, and a spline carries the rest along.",
        "3.1",
    ),
    "Demons": (
        "Registration by intensities: every voxel is pushed along the gradient until the two images agree; the pushes "
        "are smoothed.",
        "3.1",
    ),
    "Restricted Boltzmann machine": (
        "Visible and hidden units, connected to each other but not among themselves, that learn what data are likely.",
        "2.3.2",
    ),
    "Deep Boltzmann machine": (
        "Several layers of hidden units; a layer is drawn from the one below and the one above it together.",
        "2.3.3",
    ),
    "Gibbs chain": (
        "Hidden units are drawn given the visible ones, then the visible ones given those, and so on: in the long run "
        "its states are samples of what the model holds likely.",
        "2.3.2",
    ),
    "Free energy": (
        "Minus the logarithm of how likely a model holds an input, up to a constant that is the same for all inputs.",
        "2.3.2",
    ),
    "Receptive field": (
        "The part of the input that a unit depends on, and what it answers to there; all units of a convolutional map "
        "share one kernel and differ in where they look.",
        "2.5",
    ),
    "Annealing": (
        "Chains lead from a model whose log Z is known to the trained one in many small steps; the weights they gather "
        "estimate its log Z.",
        "2.3.2",
    ),
    "Paired comparison": (
        "Two ways of training with the same seeds, compared seed by seed: what a seed decides is alike on both sides.",
        "2.6",
    ),
    "Clamping": ("Some units are held at what was observed while the others are sampled.", "2.3.3"),
    "Over-fitting": (
        "The network knows its training subjects by heart and fails on others; held-out subjects show it.",
        "2.6",
    ),
    "Functional connectivity": (
        "How much the signals of two regions go together over time, most often Pearson's correlation.",
        "3.5",
    ),
    "Functional network": (
        "Regions whose signals rise and fall together; here the regions that a hidden unit looks at most.",
        "3.5",
    ),
    "Hidden Markov model": (
        "At each moment the brain is in one of a few hidden states; which one comes next depends on the present alone.",
        "3.5",
    ),
    "Dwell time": ("How long a hidden state lasts once it is entered.", "3.5"),
    "Permutation test": (
        "Classes are shuffled among subjects many times: how often does chance alone do as well?",
        "3.5",
    ),
    "Segmentation": ("Every voxel is given a class: a tissue, an organ, a lesion, or none of them.", "3.3"),
    "Fully convolutional network": (
        "Convolutions and pooling alone, so that it takes images of any size and answers for many voxels at once.",
        "3.3",
    ),
    "Dice": (
        "Overlap of prediction and truth: twice what they share over the sum of both; 1 is perfect, 0 is none.",
        "3.3",
    ),
    "Hausdorff distance": (
        "How far the two surfaces are apart where they are furthest; of 95 % of their points here, so that a single "
        "stray voxel does not decide it.",
        "3.3",
    ),
    "Uncertainty": (
        "The entropy of a voxel's class probabilities over its largest value: 0 is sure, 1 is not at all. A network "
        "can be sure and wrong.",
        "3.3",
    ),
    "Phantom": ("A synthetic subject whose truth is known, made on this machine.", "1"),
    "Group": ("What a split must not tear apart, for example all images of one patient.", "2.6"),
}


def terms(*names: str) -> None:
    """Show a button that opens to these terms."""
    with st.popover("Terms", icon=":material/menu_book:", type="tertiary"):
        for name in names:
            sentence, section = TERMS[name]
            st.markdown(f"**{name}.** {sentence} [Section {section}]({REVIEW})")
        st.caption(f"Sections of [{REVIEW_NAME}]({REVIEW}).")
