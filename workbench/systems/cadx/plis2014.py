"""One Gaussian restricted Boltzmann machine as a rival of independent component analysis on fMRI (Plis et al. 2014).

Review: Section 3.5, Reference 120

Citation: Plis SM, Hjelm D, Salakhutdinov R, Allen EA, Bockholt HJ, Long JD, Johnson HJ, Paulsen JS, Turner JA, Calhoun
VD. Deep learning for neuroimaging: a validation study. Frontiers in Neuroscience 8:229, 2014.

Input: the voxels inside a mask of every subject's 4-D image, on one lattice, or regional time series; z-scored column
by column. Every volume is an example.

Network: Gaussian visible units, 64 binary hidden ones. A unit's weights are its map, its activation its time course.

Training: contrastive divergence with one Gibbs step, a momentum of 0.5 and then 0.9, and an L1 penalty on the weights.
The penalty is chosen by two halves of the subjects: by how well the maps of one half come back in the other, or by how
much of the other half's signals they explain. Temporal and spatial ICA, PCA and sparse dictionary learning, on voxels
also canonical ICA (CanICA), are fitted to the same volumes, and to the same halves, with as many components.

Output: maps and courses of the machine and of the other methods, matched; the reproducibility of each map; functional
network connectivity; the share of variance explained in subjects that were not learnt from; for a subject the mean
activation of every unit. Reproducibility stands beside that of maps whose regions or voxels are shuffled. Shuffled maps
are not smooth, and whether smooth noise would have brought the same maps back is not tested: on a mask of voxels it
does bring maps back, whatever the method, so a map that comes back need not be a network.

Reported: the review says that the feasibility was validated and prints no number.

Departs from the paper in: voxels are cubes of 8 mm where nothing else is chosen, since tens of thousands of them need
more than a few minutes and gigabytes; regions may stand in for voxels. Sizes, rates and momentum are those of the
authors' published code; its L1 of 0.08 is meant for voxels and leaves no map of about a hundred regions, so L1 is
chosen here, and ten times as large on voxels as on regions. Momentum changes at once, not over five epochs. A unit's
update is kept short, weights begin Gaussian, and the rate falls to 0. NMF is not among the rivals: it needs values that
are never negative, and z-scored signals are.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import model_validator

from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import group_of
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval
from workbench.models.layers import DEAD_BELOW
from workbench.models.rbm import RBM
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.alarms import check_finite
from workbench.systems.base import Cost, Prediction, Preset, setting
from workbench.systems.component_methods import (
    OWN,
    comparison_of,
    file_of,
    held_out,
    kept,
    method_of,
    n_components,
    rebuild_of,
    rival,
    rivals,
    rivals_of,
)
from workbench.systems.component_views import Comparison
from workbench.systems.feature_scores import finite
from workbench.systems.regional_base import RegionalLearning
from workbench.systems.regional_data import Regional, regions_of
from workbench.systems.regional_views import RegionalNetworks
from workbench.systems.split_half import (
    OTHER_START,
    Halves,
    Rebuild,
    crossed,
    explained,
    frames,
    frames_by_subject,
    halves,
    preferred,
    reproducibility,
)
from workbench.systems.views import FilterBank
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once

INIT_SCALE = 0.05
FEWEST_FRAMES = 50
LIKELY_REGIONS = 116
EXPLAINING = (
    "More explained variance is not a better map: linear methods with as many components explain noise as well."
)


SMOOTH = (
    "Not tested: whether smooth noise would have brought these maps back. Neighbors that share noise bring back maps "
    "that are no networks, well above shuffled ones."
)


class Plis2014(RegionalLearning):
    """Settings of the machine on signals of voxels or regions; nobody's class is looked at."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "64 units, 300 epochs, 5 volumes in a step, as the authors' code; L1 chosen among six."),
        Preset("cpu", "64 units, 60 epochs, 20 volumes in a step, L1 chosen among three: minutes.",
               {"n_epochs": 60, "batch_size": 20, "l1_grid": (0.001, 0.003, 0.01), "n_frames": 20_000}),
        Preset("voxels", "For voxels: 32 units, 40 epochs, a slower rate; found on phantoms. Minutes to an hour.",
               {"n_hidden": 32, "n_epochs": 40, "batch_size": 20, "learning_rate": 0.003,
                "l1_grid": (0.003, 0.005, 0.01), "n_frames": 20_000}),
        Preset("quick", "16 units, a few epochs, one L1: seconds.",
               {"n_hidden": 16, "n_epochs": 10, "batch_size": 20, "choose_l1": "fixed", "weight_l1": 0.003,
                "n_frames": 2000}),
    )  # fmt: skip
    target: ClassVar[str] = ""  # type: ignore[misc]
    n_folds: ClassVar[int] = 2  # type: ignore[misc]
    permute: ClassVar[bool] = False  # type: ignore[misc]
    scaling: ClassVar[Literal["subject"]] = "subject"  # type: ignore[misc]

    n_hidden: int = setting(64, "Hidden units", "Two to four times the networks that are looked for.", "Network",
                            ge=2, le=4096)  # fmt: skip
    centered: bool = setting(True, "Centering", "Subtract running means from the hidden units.", "Network")
    hidden_bias: float = setting(
        0.0, "First hidden bias", "Below 0 units begin mostly off; -2 is on for one volume in eight.", "Network",
        ge=-10, le=10,
    )  # fmt: skip
    choose_l1: Literal["reproducibility", "held-out error", "fixed"] = setting(
        "reproducibility", "Choose L1 by", "What one half of the subjects says of the machine of the other half.",
        "Training",
    )  # fmt: skip
    l1_grid: tuple[float, ...] = setting(
        (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03), "Penalties to choose from",
        "For regions; what an L1 does depends on how many columns there are.", "Training", min_length=1, max_length=20,
    )  # fmt: skip
    weight_l1: float = setting(
        0.008, "L1", "Where it is fixed, for regions; about 0.003 for 116 of them.", "Training", ge=0, le=10
    )
    voxel_l1: float = setting(
        10.0, "L1 on voxels, times", "Voxels need larger penalties; the authors' 0.08 is 0.008 times 10.", "Training",
        gt=0, le=1000,
    )  # fmt: skip
    learning_rate: float = setting(0.01, "Learning rate", "At the start; falls to 0.", "Training", gt=0, le=1)
    max_update_norm: float = setting(
        0.1, "Longest update", "Of one unit's weights in a step; 0 does not clip.", "Training", ge=0, le=100
    )
    n_epochs: int = setting(300, "Epochs", "Of each machine.", "Training", ge=1, le=100_000)
    batch_size: int = setting(5, "Batch size", "Volumes in a step.", "Training", ge=1, le=65_536)
    n_frames: int = setting(
        200_000, "Volumes to learn from", "Drawn from the training subjects at most.", "Data", ge=100, le=50_000_000
    )
    courses: Literal["activation", "input"] = setting(
        "activation", "Time courses", "Chance that a unit is on, or its input before the logistic function.", "Network"
    )

    @model_validator(mode="after")
    def _grid_fits(self) -> Self:
        if any(not 0 <= v <= 10 for v in self.l1_grid) or len(set(self.l1_grid)) < len(self.l1_grid):
            raise ValueError(f"penalties to choose from are different numbers from 0 to 10; got {list(self.l1_grid)}")
        return self

    @property
    def is_supervised(self) -> bool:
        """No class is needed."""
        return False

    @property
    def penalties(self) -> tuple[float, ...]:
        """The L1 that are tried on regions; on voxels each is multiplied."""
        return (self.weight_l1,) if self.choose_l1 == "fixed" else self.l1_grid

    def stages(self) -> list[StagePlan]:
        """Name the machines of the halves under each penalty, and that of all subjects."""
        tried = [_stage(i, which) for i in range(len(self.penalties)) for which in (0, 1)]
        return [StagePlan(name, self.n_epochs) for name in (*tried, "all")]

    def cannot_show(self, run: Run) -> frozenset[str]:
        """Nobody is diagnosed."""
        return frozenset({"diagnosis"})

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Choose the penalty by the halves, learn from all subjects, and fit the other methods likewise."""
        data, _ = self.prepare(cohort, run)
        parts = halves(data, [group_of(cohort[n]) for n in data.names] if self.hold_out == "groups" else data.names,
                       self.seed)  # fmt: skip
        run.log(parts.note)
        training = Training(run, self.stages())
        voxel_mm = regions_of(run).voxel_mm
        drawn = [frames_by_subject(d, n, self.seed) for d, n in self._shares(data, parts)]
        volumes = [np.concatenate(one) for one in drawn]
        chosen, machines = self._choose(volumes[1:], parts, training, run)
        machine = self.learn_machine(volumes[0], training, "all", chosen)
        check_finite(machine, torch.from_numpy(volumes[0]))
        run.save_weights("weights", {n: t.contiguous() for n, t in machine.state_dict().items()})
        run.save_arrays("units", h1=_means(machine, volumes[0]))
        found = {OWN: kept(_maps(machine), [_maps(m) for m in machines], data, parts,
                           [_rebuild(m) for m in machines], lambda v: self.courses_of(machine, v),
                           self.seed)}  # fmt: skip
        n = n_components(volumes, self.n_hidden)
        if n < self.n_hidden:
            run.log(f"the other methods have {n} components: the signals have no more independent directions")
        for name, method in rivals(voxel_mm).items():
            training.check_stop()
            found[name] = rival(method, drawn, n, self.seed, data, parts)
        for name, values in found.items():
            run.save_arrays(file_of(name), **values)
        run.save_arrays("halves", subjects=np.array(parts.data.names), half=parts.half)
        run.finish(self._result(found, chosen, parts))

    def learn_machine(self, x: np.ndarray, training: Training, stage: str, weight_l1: float, start: int = 0) -> RBM:
        """Learn from volumes (n, R), z-scored, as one stage.

        Args:
            x: float32.
            training: has a stage of that name.
            stage: whose.
            weight_l1: the penalty.
            start: which first weights, order of volumes and draws of the chain; two halves that had them in common
                would agree on maps that neither has learnt.
        """
        machine, seed = self._machine(x.shape[1], start), self.seed + OTHER_START * start
        examples = Examples(torch.from_numpy(x), None, torch.zeros(len(x), dtype=torch.int64), [stage])
        batches = ExampleDataModule(
            examples, None, batch_size=self.batch_size, seed=seed * 1000,
            n_parts=parts_at_once(machine, self.batch_size),
        )  # fmt: skip
        task = ContrastiveDivergence(
            machine, learning_rate=self.learning_rate, learning_rate_end=0.0,
            n_steps_total=batches.n_updates * self.n_epochs, mini_batch=self.batch_size, weight_decay=0.0,
            weight_l1=weight_l1, max_update_norm=self.max_update_norm, seed=seed,
        )  # fmt: skip
        training.stage(stage, task, batches, n_epochs=self.n_epochs)
        return machine.eval().requires_grad_(False)

    def learn(self, data: Regional, target: np.ndarray, training: Training, part: str) -> RBM:
        """Learn from some subjects, whatever their class."""
        return self.learn_machine(frames(data, self.n_frames, self.seed), training, part, self.weight_l1)

    def scores_of(self, learnt: RBM, data: Regional) -> dict[str, np.ndarray]:
        """Give the share of variance that the machine explains of each subject."""
        return {"explained_variance": explained(data.series, _rebuild(learnt))}

    def learnt(self, run: Run) -> RBM:
        """Give the machine that was learnt from all subjects."""
        machine = self._machine(len(regions_of(run).regions))
        machine.load_state_dict(run.trained_weights())
        return machine.eval().requires_grad_(False)

    def courses_of(self, machine: RBM, series: np.ndarray) -> np.ndarray:
        """Give the units' time courses (T, M) for a signal (T, R)."""
        with torch.no_grad():
            v = torch.from_numpy(series)
            return (machine.hidden_mean(v) if self.courses == "activation" else machine.hidden_input(v)).numpy()

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the mean activation of every unit over a subject's volumes, and how much of its variance is explained.

        Subjects are z-scored, so that a mean activation says how a subject's signal is distributed, not how strong it
        is.
        """
        data, machine = self.seen(Cohort(subject.folder / "cohort.csv", (subject,)), run), self.learnt(run)
        found = _means(machine, data.series[0])
        share = self.scores_of(machine, data)["explained_variance"][0]
        return {"explained_variance": float(share), **{f"unit {i + 1}": float(v) for i, v in enumerate(found)}}

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Give the share of variance explained of each subject by models that did not learn from it.

        Those are the other half's models for a subject of the run, and those of all subjects for a new one.
        """
        own = held_out(run)
        new = [s for s in cohort if s.name not in own]
        data = self.seen(Cohort(cohort.path, tuple(new)), run) if new else None
        rebuilds = {OWN: _rebuild(self.learnt(run))} | {n: rebuild_of(run, n) for n in rivals_of(run)}
        found: dict[str, np.ndarray] = {}
        for i, (name, rebuild) in enumerate(rebuilds.items()):
            progress(i / len(rebuilds), f"Scoring by {name}")
            found[name] = explained(data.series, rebuild) if data else np.empty(0)
        place = {s.name: i for i, s in enumerate(new)}
        subjects = {
            s.name: {
                _score(n): own[s.name][n] if s.name in own else float(found[n][place[s.name]]) for n in rebuilds
            }
            for s in cohort
        }  # fmt: skip
        groups = [group_of(s) for s in cohort]
        summary = {
            name: finite(mean_interval([s[name] for s in subjects.values()], clusters=groups, seed=self.seed))
            for name in map(_score, rebuilds)
        }
        return {"subjects": subjects, "summary": summary,
                "scored_by": {"other half": len(cohort) - len(new), "all subjects": len(new)}}  # fmt: skip

    def regional_networks(self, run: Run) -> RegionalNetworks:
        """Give the units' maps, in the order of the units."""
        regions, maps = regions_of(run), method_of(run, OWN)["maps"]
        return RegionalNetworks(
            maps, tuple(f"unit {i + 1}" for i in range(len(maps))), regions.regions, regions.coordinates_mm,
            regions.networks, None, regions.connectivity,
            f"weight of a hidden unit (per SD of the {'region' if regions.voxel_mm is None else 'voxel'}'s signal)",
            regions.voxel_mm,
        )  # fmt: skip

    def comparison(self, run: Run) -> Comparison:
        """Give what the machine and the other methods made of the same volumes."""
        return comparison_of(run, self.choose_l1)

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the maps as strips of regions or voxels."""
        maps, use = method_of(run, OWN)["maps"], run.load_arrays("units")["h1"]
        return FilterBank(
            maps[:, None, :, None], use, use < DEAD_BELOW, np.linalg.norm(maps, axis=1), 0.0,
            [f"h1 ({len(maps)} units)"], 1, None, True,
        )  # fmt: skip

    def cost(self) -> Cost:
        """Count the machines of two halves under each penalty, and one of all volumes."""
        n_frames = min(self.n_frames, 20_000)  # a cohort of a hundred subjects of 200 volumes
        weights, rounds = LIKELY_REGIONS * self.n_hidden, self.n_epochs * (1 + len(self.penalties))
        return Cost(
            parameters=weights + LIKELY_REGIONS + self.n_hidden, flops=10.0 * weights * n_frames * rounds,
            memory_bytes=8.0 * n_frames * LIKELY_REGIONS + 24.0 * weights,
            n_steps=-(-n_frames // self.batch_size) * rounds // 8, efficiency=0.05,
        )  # fmt: skip

    def _machine(self, n_regions: int, start: int = 0) -> RBM:
        machine = RBM(
            n_regions, self.n_hidden, visible="gaussian", centered=self.centered, seed=self.seed + OTHER_START * start,
            init_scale=INIT_SCALE,
        )  # fmt: skip
        with torch.no_grad():
            machine.hidden_bias.fill_(self.hidden_bias)
        return machine

    def _shares(self, data: Regional, parts: Halves) -> list[tuple[Regional, int]]:
        """Give all subjects and each half, with how many volumes are drawn of each."""
        half = max(FEWEST_FRAMES, self.n_frames // 2)
        return [(data, self.n_frames), (parts.part(0), half), (parts.part(1), half)]

    def _choose(
        self, volumes: list[np.ndarray], parts: Halves, training: Training, run: Run
    ) -> tuple[float, list[RBM]]:
        """Learn the machines of both halves under each penalty; give the best penalty and its two machines."""
        pairs, same, told = [], [], []
        scale = 1.0 if regions_of(run).voxel_mm is None else self.voxel_l1
        penalties = [scale * v for v in self.penalties]
        for i, penalty in enumerate(penalties):
            pair = [self.learn_machine(volumes[w], training, _stage(i, w), penalty, w) for w in (0, 1)]
            pairs.append(pair)
            same.append(float(reproducibility(*map(_maps, pair)).mean()))
            told.append(float(crossed(parts, [_rebuild(m) for m in pair]).mean()))
            run.log(f"L1 {penalty:g}: maps of the halves agree by |r| {same[-1]:.3f}, explain {told[-1]:.3f}")
        best = preferred(same, told, self.choose_l1)
        run.save_arrays("penalties", values=np.array(penalties), reproducibility=np.array(same),
                        explained=np.array(told), chosen=np.array(penalties[best]))  # fmt: skip
        return penalties[best], pairs[best]

    def _result(self, found: dict[str, dict[str, np.ndarray]], chosen: float, parts: Halves) -> dict[str, Any]:
        summary = {
            f"{name}: {words}": finite(mean_interval(values[key], seed=self.seed))
            for name, values in found.items()
            for key, words in (("explained", "explained variance"), ("reproducibility", "reproducibility"))
        }
        means = {name: {k: float(v[k].mean()) for k in ("explained", "reproducibility")} for name, v in found.items()}
        scores = {
            "explained_variance": means[OWN]["explained"], "reproducibility": means[OWN]["reproducibility"],
            "l1": chosen, "explained_variance_PCA": means["PCA"]["explained"],
            "reproducibility_temporal_ICA": means["temporal ICA"]["reproducibility"],
            "reproducibility_chance": float(found[OWN]["chance"]),
        }  # fmt: skip
        return {"scores": scores, "summary": summary, "scored_on": "the half of the subjects not learnt from",
                "notes": [parts.note, EXPLAINING, SMOOTH, *_nothing(found)]}  # fmt: skip


def _nothing(found: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """Say whose maps of one half come back in the other no better than shuffled ones."""
    return [
        f"{name} found nothing that comes back: its maps of the two halves agree by |r| "
        f"{values['reproducibility'].mean():.3f}, shuffled ones by {float(values['chance']):.3f}."
        for name, values in found.items()
        if values["reproducibility"].mean() <= float(values["chance"])
    ]


def _stage(index: int, which: int) -> str:
    return f"penalty {index + 1} half {which + 1}"


def _score(method: str) -> str:
    return "explained_variance" if method == OWN else f"explained_variance_{method.replace(' ', '_')}"


def _maps(machine: RBM) -> np.ndarray:
    return machine.weight.detach().numpy()


def _rebuild(machine: RBM) -> Rebuild:
    def rebuild(series: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return machine.decode(machine.encode(torch.from_numpy(series))).numpy()

    return rebuild


def _means(machine: RBM, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return machine.hidden_mean(torch.from_numpy(x)).mean(0).numpy()
