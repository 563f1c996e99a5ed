"""Registration driven by intensities, by attributes made by hand, by raw patches and by codes learnt without labels.

Review: Section 3.1, References 28, 52, 87 and 88, Figures 4 to 6
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.1 Wu 2016: registration
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.1, Figures 4 to 6; the system is `wu2016`
# (References 28 and 52). To register is to find for every point of a fixed image its place in a moving one. The review
# compares three ways on 7.0 T brains in Figure 6: diffeomorphic demons (Reference 87), which follow intensities; HAMMER
# (Reference 88), which matches attributes made by hand; and the same HAMMER on codes that a stacked auto-encoder (SAE)
# learnt from images without labels. It says that the last one "performs better" and prints no number.
#
# Here every pair is registered in six ways from one start: the start alone, demons, diffeomorphic demons, and one
# HAMMER engine on attributes, on raw patches and on learnt codes. On phantoms the true map is known everywhere, so
# there is an error in mm beside the overlap of labels. No method sees a label. The sentences with numbers are written
# by the code from this run.
#
# The quick settings take about a minute on a processor core: voxels of 5 mm, a small network trained for seconds, three
# pairs. The hippocampus is then two to three voxels thick, and the schedules are shortened, so the numbers show that
# everything works and **not** which method is the better one. With `WORKBENCH_FULL=1`: 2 mm, the preset `cpu` of the
# system, six pairs, the usual schedules and an affine start. The paper's patches have 21 × 21 × 21 voxels of 1 mm:
# the preset `published`.

# %%
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", os.environ["OMP_NUM_THREADS"])

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.experiments import noise_robustness
from workbench.figures.registration_energy import energy_curve
from workbench.figures.registration_fields import deformed_grid, displacement_map, jacobian_map
from workbench.figures.registration_methods import Registration, figure_6
from workbench.figures.registration_slices import Compared, compare_slices
from workbench.figures.scores import compare_scores
from workbench.imaging.cohort import Cohort
from workbench.imaging.displacements import compose, exponential, jacobian_determinant, smooth, to_voxels
from workbench.imaging.fields import read_field
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.metrics.label_pair import LabelPair
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.brain_7t import LABEL_NAMES, make_brain_7t
from workbench.phantoms.brain_7t_look import USUAL
from workbench.registration.registered import Registered
from workbench.runs.run import Run
from workbench.systems.registering import register_subjects
from workbench.systems.registration_settings import RegistrationSettings, method_of

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING_MM, N_LEARNT, N_PAIRS = (2.0, 4, 6) if FULL else (5.0, 2, 3)
# 21 mm of anatomy in the paper; 11 voxels of 2 mm, or 5 of 5 mm, are about as much
PATCH = 11 if FULL else 5
LEARNING = {"spacing_mm": 0.0} | (
    {"bias_correction": True}
    if FULL
    else {"patch_size": PATCH, "n_hidden": (128, 64), "n_patches": 8192, "learning_rate": 0.005,
          "n_epochs_pretraining": 2, "n_epochs_fine_tuning": 4}
)  # fmt: skip
SETTINGS = (
    {"bias_correction": True}
    if FULL
    else {"patch_size": PATCH, "linear": "moments", "n_iterations": 40, "n_levels": 2, "stage_shrink": (2, 1),
          "stage_iterations": (4, 4), "key_share": (0.3, 0.15), "search_radius": (2.0, 2.0)}
)  # fmt: skip
START = "affine start" if FULL else "linear start"
SAE, PATCHES, ATTRIBUTES, DEMONS = "HAMMER + SAE", "HAMMER + patches", "HAMMER", "diffeo. demons"
METHODS = {START: "affine", "demons": "demons", DEMONS: "diffeomorphic-demons", ATTRIBUTES: "hammer-attributes",
           PATCHES: "hammer-patches", SAE: "hammer-learnt"}  # fmt: skip
CONTRASTS = ("T1", "T2", "inverted", "compressed") if FULL else ("T1", "T2")

# %% [markdown]
# ## The images
#
# 7 T-like phantoms: the MNI152 template seen through smooth random deformations, with vessels, texture, noise and a
# contrast exponent of everybody's own; eight labels, from CSF to the hippocampus. They are kinder than people: all
# descend from one brain, so every point *has* a counterpart. For the quick run the bias field is weak; in the full run it
# is the phantom's usual one, and N4 takes most of it out first, as in the paper.
#
# Features are learnt from some brains; pairs are made of others, and no brain is in two pairs.

# %%
NAMES = [f"brain-{i:02d}" for i in range(1, N_LEARNT + 2 + 2 * N_PAIRS)]
TESTED = NAMES[N_LEARNT + 1 :]
PAIRS = list(zip(TESTED[::2], TESTED[1::2], strict=True))  # (fixed, moving)
SPLIT = Split(("template", *NAMES[:N_LEARNT]), (NAMES[N_LEARNT],), tuple(TESTED))


def brains() -> Cohort:
    """Open the cohort, or make it."""
    folder = cohorts_dir() / f"registration {SPACING_MM:g} mm {len(NAMES)} brains"
    if not folder.exists():
        look = USUAL if FULL else replace(USUAL, bias=0.15)
        made = make_brain_7t(
            folder, n_subjects=len(NAMES), seed=0, spacing_mm=SPACING_MM, look=look, contrasts=CONTRASTS
        )
        workflow.save_split(made, SPLIT)
    return workflow.open_cohort(folder)


cohort = brains()
FIXED, MOVING = PAIRS[0]
NUCLEI = [value for value in LABEL_NAMES if value > 3]


def nuclei(labels: np.ndarray) -> np.ndarray:
    """Keep the hippocampus and the four deep nuclei."""
    return np.where(labels > 3, labels, 0).astype(np.int32)


image, other = cohort[FIXED].volume("T1"), cohort[MOVING].volume("T1")
labels, other_labels = cohort[FIXED].label_map(image), cohort[MOVING].label_map(other)
brain = labels > 0
at = tuple(int(v) for v in np.rint(image.to_voxels(np.array([[0.0, -12.0, 4.0]]))[0]))
pair_shown = Compared(image, other, nuclei(labels), nuclei(other_labels), (FIXED, f"{MOVING}, not registered"))
compare_slices(pair_shown, at, mode="side by side")

# %% [markdown]
# *The first pair before anything is done, with the nuclei of both: far from lying on each other.*
#
# ## Laws of a map, and the known one
#
# A smooth velocity v is integrated to a map exp(v); exp(−v) leads back, and neither folds. The two deformations of a
# pair are known, so the true map from one brain to the other is theirs joined together: from the fixed brain to the
# template, and on to the moving one.


# %%
def true_map(fixed: Subject, moving: Subject) -> np.ndarray:
    """Give the true field (3, X, Y, Z) mm from one phantom to another, on the lattice that both share."""
    (to_template, affine), (from_template, other) = (
        read_field(subject.folder / subject.covariates[field])
        for subject, field in ((fixed, "warp"), (moving, "inverse_warp"))
    )
    assert np.allclose(affine, other)
    joined = compose(to_voxels(from_template, affine), to_voxels(to_template, affine))
    return np.tensordot(affine[:3, :3], joined, 1).astype(np.float32)


def inside(field: np.ndarray, mask: np.ndarray) -> float:
    """Give the mean length of a field's vectors inside a mask."""
    return float(np.linalg.norm(field, axis=0)[mask].mean())


rng = np.random.default_rng(0)
velocity = smooth(rng.standard_normal((3, 32, 32, 32)).astype(np.float32), 4.0)
velocity *= 3 / np.linalg.norm(velocity, axis=0).max()
there, back = exponential(velocity), exponential(-velocity)
core = (slice(None), *[slice(4, -4)] * 3)
left_over = float(np.abs(compose(back, there)[core]).max())
assert left_over < 0.1, "exp(-v) undoes exp(v)"
assert jacobian_determinant(there).min() > 0 and jacobian_determinant(back).min() > 0, (
    "an integrated velocity never folds"
)

truth = true_map(cohort[FIXED], cohort[MOVING])
known = to_voxels(truth, image.affine)
assert jacobian_determinant(known)[brain].min() > 0
display(
    Markdown(
        f"exp(−v)∘exp(v) moves a point by **{left_over:.3f} voxels** at most, where exp(v) moves it by up to "
        f"{np.linalg.norm(there, axis=0).max():.1f}. Between {FIXED} and {MOVING} the true map moves a point of the brain "
        f"by {inside(truth, brain):.1f} mm on average, {np.linalg.norm(truth, axis=0)[brain].max():.1f} mm at most."
    )
)
displacement_map(image, known)

# %% [markdown]
# *The true displacement of the first pair.*
#
# ## A network learnt without labels
#
# A stacked auto-encoder is learnt on patches of the training brains alone: each layer rebuilds its input under a
# sparsity term, then encoder and decoder are fine-tuned together. The code in its middle describes a voxel.


# %%
def learn(contrast: str) -> Run:
    """Learn codes from one contrast of the training brains."""
    run = workflow.train(
        "wu2016", cohort.path, LEARNING | {"modality": contrast}, preset="cpu", title=f"codes of {contrast}"
    )
    assert run.status().state == "finished", run.status().message
    return run


run = learn("T1")
assert not set(TESTED) & set(run.info.split["train"] + run.info.split["validation"]), "who is registered taught nothing"
explained = run.result()["scores"]["explained_variance"]
assert explained > 0.3
display(
    Markdown(f"The code explains **{100 * explained:.0f} %** of the variance of patches of a brain that it never saw.")
)
workflow.figure(run.id, "encoder-decoder")

# %% [markdown]
# *Figure 4 from the trained network.*
#
# ## Every pair, every method
#
# One loop, the same settings everywhere; HAMMER's are the same whatever drives it. Errors are counted in the fixed
# brain: `error` is the distance between the place a method gives and the true one; `there and back` is how far a point
# ends from where it began when it is moved by the map and by its inverse; `folded` is the share of voxels that the map
# turns inside out. Dice is the mean over the eight labels.


# %%
def learnt_of(run: Run):
    """Give what a run brings to a registration."""
    return workflow.system_of(run).learnt_features(run)


def register(pair: tuple[str, str], method: str, contrast: str = "T1", codes: Run | None = None) -> Registered:
    """Register one pair by one method."""
    chosen = method_of(METHODS[method])
    return register_subjects(
        chosen, cohort[pair[0]], cohort[pair[1]], RegistrationSettings.make(SETTINGS), modalities=(contrast, contrast),
        learnt=learnt_of(codes) if codes and chosen.needs_run else None,
    )  # fmt: skip


def score(found: Registered, pair: tuple[str, str]) -> dict[str, float]:
    """Give errors against the true map and Dice of all labels."""
    fixed, moving = cohort[pair[0]], cohort[pair[1]]
    labels = fixed.label_map(found.fixed)
    mask = labels > 0
    values = [value for value in LABEL_NAMES if value]
    table = LabelPair.of((found.warp_labels(moving.label_map(found.moving)), labels), values, None)
    dice = {LABEL_NAMES[value]: table.overlap([value]).dice for value in values}
    points = found.fixed.to_mm(np.argwhere(mask)[::7])
    distance = np.linalg.norm(found.field - true_map(fixed, moving), axis=0)[mask]
    returned = found.warp_points_back(found.warp_points(points))
    return {
        "error": float(distance.mean()),
        "there and back": float(np.linalg.norm(returned - points, axis=1).mean()),
        "folded": found.folded_share,
        "dice": float(np.mean(list(dice.values()))),
        "nuclei": float(np.mean([dice[LABEL_NAMES[value]] for value in NUCLEI])),
        "seconds": found.seconds,
        "nearer": [float((distance < limit).mean()) for limit in LIMITS_MM],
    } | dice


LIMITS_MM = np.arange(0, 15.1, 1.0)
first: dict[str, Registered] = {}
rows = []
for pair in PAIRS:
    for method in METHODS:
        found = register(pair, method, codes=run)
        rows.append({"pair": " ← ".join(pair), "method": method} | score(found, pair))
        if pair == PAIRS[0]:
            first[method] = found
scores = pd.DataFrame(rows)
WORDS = {"error": "error, mm", "there and back": "there and back, mm", "folded": "folded, share", "dice": "Dice"}
WORDS |= {"seconds": "seconds"}
means = scores.groupby("method", sort=False)[list(WORDS)].mean()
display(means.rename(columns=WORDS).round(4))

assert (means["error"].drop(START) < means.loc[START, "error"]).all(), (
    "every method brings points nearer than its start"
)
assert (means.loc[[DEMONS, ATTRIBUTES, PATCHES, SAE], "folded"] == 0).all(), "what is built not to fold does not"
assert (means["there and back"] < 0.5 * SPACING_MM).all(), "the inverse leads back to within half a voxel"

# %%
cases = scores.melt(["pair", "method"], ["error", "dice"], "score", "value").rename(
    columns={"method": "run", "pair": "subject"}
)
summary = pd.DataFrame(
    [
        (method, name, *mean_interval(part["value"]))
        for (method, name), part in cases.groupby(["run", "score"], sort=False)
    ],
    columns=["run", "score", "mean", "low", "high"],
)
compare_scores(
    cases,
    summary,
    titles={"error": "distance to the true place, mm (less is better)", "dice": "Dice, mean of eight labels"},
)

# %% [markdown]
# *A dot a pair; bars are means with 95 % intervals over pairs.* A mean hides how the errors spread: the share of the
# brain that each method puts nearer to its true place than so many mm, over all pairs.

# %%
near = pd.DataFrame(
    [
        (method, limit, *mean_interval([one[i] for one in part["nearer"]]))
        for method, part in scores.groupby("method", sort=False)
        for i, limit in enumerate(LIMITS_MM)
    ],
    columns=["variant", "noise", "mean", "low", "high"],
)
noise_robustness(near, title="share of the brain that is nearer", noise="distance to the true place, mm").update_layout(
    meta={"alt": "Share of the brain whose error is below so many mm, by method, with 95 % intervals over pairs."}
)

# %% [markdown]
# ### An image stays on itself
#
# An image registered onto itself must stay. Nothing in HAMMER knows that it is the same image, so this is a test of the
# whole engine, on the codes.

# %%
alone = register((FIXED, FIXED), SAE, codes=run)
moved = float(np.linalg.norm(alone.field, axis=0)[brain].max())
display(Markdown(f"{FIXED} onto itself: the furthest point of the brain moves by **{moved:.2f} mm**."))
assert moved < SPACING_MM, "an image stays on itself to within a voxel"

# %% [markdown]
# ## Figure 6
#
# The first pair: three slices of the template, of the subject, and of the subject as each method registers it, with
# hippocampus, thalamus, putamen, caudate and pallidum of the template in red and those of the subject in blue. (The
# review draws the hippocampus alone, at 7.0 T; at 5 mm it is a few voxels.)


# %%
def column(method: str) -> Registration:
    """Give one column of Figure 6."""
    found = first[method]
    warped = found.warp_labels(cohort[MOVING].label_map(found.moving))
    own = scores[(scores["method"] == method) & (scores["pair"] == " ← ".join(PAIRS[0]))].iloc[0]
    return Registration(
        f"Subject, {START.split()[0]}" if method == START else method, found.warped(),
        nuclei(warped), float(own["nuclei"]),
        None if method == START else found.folded_share,
    )  # fmt: skip


heights = [int(np.rint(image.to_voxels(np.array([[0.0, 0.0, z]]))[0, 2])) for z in (-12.0, -2.0, 8.0)]  # mm
figure_6(image, nuclei(labels), [column(method) for method in METHODS], slices=heights)

# %% [markdown]
# *Figure 6: Dice is the mean of the five nuclei.* What HAMMER on the learnt codes did to this pair: its energy, the
# grid, and the change of volume.

# %%
chosen = first[SAE]
energy = pd.DataFrame(chosen.energy, columns=["stage", "iteration", "energy", "n_points"])
made = RegistrationSettings.make(SETTINGS)
assert len(energy) >= sum(made.stage_iterations) and not first[START].energy
assert energy["stage"].str.startswith("round ").all() and energy["stage"].str[6].nunique() == made.n_rounds
energy_curve(energy)

# %%
deformed_grid(chosen.warped(), chosen.deformation())

# %%
jacobian_map(chosen.fixed, chosen.jacobian(), folded_share=chosen.folded_share)

# %% [markdown]
# The energy of a stage need not fall at every iteration: the temperature falls between iterations, so each weighs the
# matches anew. A small energy is no proof either; only the known map and the labels tell whether points are in place.

# %% [markdown]
# ## Who is better, on these pairs
#
# Differences are paired by pair of brains; the intervals are 95 % bootstrap intervals over pairs, which are too narrow
# for so few. Where all pairs could as well point one way by chance, the words are *so far*.


# %%
def by_chance(n: int) -> float:
    """Give how often n pairs all point one way, whichever, between two equal methods."""
    return 2.0 ** (1 - n)


def verdict(a: pd.Series, b: pd.Series, less_is_better: bool = False) -> str:
    """Say what paired values allow to say, in words."""
    gap = paired_difference_interval(a, b)
    unit, form = (" mm", "+.2f") if less_is_better else ("", "+.3f")
    sign = np.sign(a.to_numpy() - b.to_numpy()) * (-1 if less_is_better else 1)
    word = "not told apart"
    if gap.low > 0 or gap.high < 0:
        word = "better" if (gap.mean < 0) == less_is_better else "worse"
        word += "" if by_chance(len(sign)) <= 0.05 else " so far"
    return (
        f"**{word}**: {gap.mean:{form}}{unit} ({gap.low:{form}} to {gap.high:{form}}), better in {int((sign > 0).sum())} of "
        f"{len(sign)} pairs"
    )


by_pair = {name: scores.pivot(index="pair", columns="method", values=name)[list(METHODS)] for name in ("error", "dice")}
compared = pd.DataFrame(
    [
        (SAE, rival, *paired_difference_interval(by_pair["error"][SAE], by_pair["error"][rival]),
         *paired_difference_interval(by_pair["dice"][SAE], by_pair["dice"][rival]))
        for rival in METHODS if rival != SAE
    ],
    columns=["method", "minus", "error, mm", "low", "high", "Dice", "low ", "high "],
)  # fmt: skip
display(compared.round(3))
display(scores.groupby("method", sort=False)[[LABEL_NAMES[value] for value in LABEL_NAMES if value]].mean().round(3))
chance = by_chance(N_PAIRS)
lines = [
    f"- {SAE} against {rival}. Error: {verdict(by_pair['error'][SAE], by_pair['error'][rival], True)}. "
    f"Dice: {verdict(by_pair['dice'][SAE], by_pair['dice'][rival])}."
    for rival in (DEMONS, ATTRIBUTES, PATCHES)
]
lines += [
    f"- {N_PAIRS} pairs: between two equal methods all of them would point one way "
    + (f"in {100 * chance:.0f} % of such runs, so *so far* is **no verdict**." if chance > 0.05 else
       f"in {100 * chance:.1f} % of such runs."),
    f"- Least error on average: **{means['error'].idxmin()}** ({means['error'].min():.2f} mm); highest Dice: "
    f"**{means['dice'].idxmax()}** ({means['dice'].max():.3f}).",
    f"- Numbers a voxel: {RegistrationSettings.make(SETTINGS).patch_size ** 3:,} for a raw patch, "
    f"{workflow.system_of(run).encoder(run).code_size} for a code.",
]  # fmt: skip
display(Markdown("\n".join(lines)))
assert scores[[*(name for value, name in LABEL_NAMES.items() if value), "dice"]].stack().between(0, 1).all()
assert len(scores) == N_PAIRS * len(METHODS), "every method on every pair"

# %% [markdown]
# ## A change of contrast
#
# The review's second point: when the images change, features made by hand may no longer suit and labels would have to be
# drawn again, whereas codes are learnt anew from the images alone. The same brains in other contrasts; neither code nor
# setting changes. *SAE of T1* keeps the network from above, *SAE learnt anew* learns from the training brains in
# the new contrast.

# %%
OLD, ANEW = "SAE of T1", "SAE learnt anew"
FEWER = PAIRS[:4] if FULL else PAIRS[:2]
changed = []
for contrast in CONTRASTS[1:]:
    fresh = learn(contrast)
    for pair in FEWER:
        for name, method, codes in ((OLD, SAE, run), (ANEW, SAE, fresh), ("attributes", ATTRIBUTES, None)):
            found = register(pair, method, contrast, codes)
            changed.append({"contrast": contrast, "pair": " ← ".join(pair), "way": name} | score(found, pair))
kept = scores[scores["pair"].isin([" ← ".join(pair) for pair in FEWER])]
at_home = kept[kept["method"].isin([SAE, ATTRIBUTES])].assign(contrast="T1")
at_home["way"] = at_home["method"].map({SAE: OLD, ATTRIBUTES: "attributes"})
changed = pd.concat([at_home, pd.DataFrame(changed)], ignore_index=True)
order = {name: i for i, name in enumerate((OLD, ANEW, "attributes", *CONTRASTS))}
changed = changed.sort_values(["way", "contrast"], key=lambda column: column.map(order), kind="stable")
labelled = changed.assign(run=changed["way"] + " on " + changed["contrast"], subject=changed["pair"])
compare_scores(
    labelled.melt(["run", "subject"], ["error", "dice"], "score", "value"),
    titles={"error": "distance to the true place, mm", "dice": "Dice, mean of eight labels"},
)

# %% [markdown]
# *A dot a pair, the same pairs in every row. Attributes are read from the image anew in each contrast; nothing is
# learnt for them.*

# %%
lines = []
for contrast in CONTRASTS[1:]:
    here = changed[changed["contrast"] == contrast].pivot(index="pair", columns="way", values="error")
    lines += [
        f"- **{contrast}**: {ANEW} against {OLD}, error {verdict(here[ANEW], here[OLD], True)}; against attributes "
        f"{verdict(here[ANEW], here['attributes'], True)}. {ANEW} has {here[ANEW].mean():.2f} mm there, {OLD} had "
        f"{at_home.loc[at_home['way'] == OLD, 'error'].mean():.2f} mm on T1."
    ]
    assert here[ANEW].mean() < kept[kept["method"] == START]["error"].mean(), (
        "what was learnt anew drives a registration"
    )
few = 100 * by_chance(len(FEWER))
lines += [
    f"- {len(FEWER)} pairs, one network a contrast; equal ways would all point one way in {few:.0f} % of such runs."
]
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Beside the longer studies
#
# Where their tables are there: real pairs, scored by labels that no method sees (`docs/registration_real.md`), and pairs
# of phantoms of 2 mm in four contrasts (`docs/registration_contrast.md`). Mean Dice over labels and pairs; the intervals
# and verdicts are in the documents.

# %%
for name, by in (("registration_real", "study"), ("registration_contrast", "contrast")):
    file = Path(workbench.__file__).parents[1] / "docs" / f"{name}.csv"
    if not file.exists():
        display(Markdown(f"`{file.name}` is not there."))
        continue
    study = pd.read_csv(file, dtype={"fixed": str, "moving": str})
    parts = study["label"].isin(["anterior", "posterior"])  # of the hippocampus, which is scored as a whole too
    of_pair = study[~parts].groupby([by, "fixed", "moving", "method"], sort=False)["dice"].mean()
    display(of_pair.groupby([by, "method"], sort=False).agg(["mean", "count"]).unstack(by).round(3))

# %% [markdown]
# What this does not say: how the published network at 1 mm would do; how any of it does on people, whose folds have no
# counterpart in each other; what other settings would give to each method.
#
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of at least two images of one modality (NIfTI, DICOM, NRRD, BIDS, `dataset.json`),
# skull-stripped or with masks. Codes are learnt from the images themselves, then the second is brought onto the first.
# Everything that page *Register* offers is kept in a folder: the warped image, both fields in mm as ITK, ANTs and 3D
# Slicer read them, the Jacobian. Without it, two phantoms stand in, their labels left out. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
learning, changes = {}, {}
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in pair for registration"
    learning, changes = {"n_patches": 4096, "n_epochs_pretraining": 2, "n_epochs_fine_tuning": 4}, SETTINGS
    source.mkdir(parents=True, exist_ok=True)
    for name in PAIRS[0]:
        scan = cohort[name].volume("T1")
        write_volume(scan.with_data(scan.data * cohort[name].mask_array(scan)), source / f"{name}_T1.nii.gz")
MINE = "my pair for registration"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("wu2016", mine.name, learning, preset="quick", title="my pair")  # then "cpu"
assert own.status().state == "finished", own.status().message
fixed, moving = [s.name for s in mine][:2]
plan = workflow.RegistrationPlan(mine.name, fixed, moving, "hammer-learnt", run_id=own.id, settings=changes)
result = workflow.open_registration(workflow.register(plan))
seen = result.registered
display(
    Markdown(
        f"{result.registered.method}: {seen.seconds:.0f} s, "
        f"{100 * seen.folded_share:.2g} % folded"
        + (f", mean Dice {np.mean(list(result.dice.values())):.3f}" if result.dice else ", no labels to score by")
        + f". Kept as `{result.id}`."
    )
)
assert np.isfinite(seen.field).all() and seen.warped().shape == seen.fixed.shape
compare_slices(Compared(seen.fixed, seen.warped(), names=(fixed, f"{moving}, registered")), mode="checkerboard")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
