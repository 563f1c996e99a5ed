"""What depth adds on structural MRI: a deep belief network's layers before simple classifiers (Plis et al. 2014).

Review: Section 3.5, Reference 120

Citation: Plis SM, Hjelm D, Salakhutdinov R, Allen EA, Bockholt HJ, Long JD, Johnson HJ, Paulsen JS, Turner JA, Calhoun
VD. Deep learning for neuroimaging: a validation study. Frontiers in Neuroscience 8:229, 2014.

Input: one map of gray matter a subject, every voxel of the mask an input, 60,465 in the paper; or a row of feature
tables. Voxels are z-scored over the training subjects of each fold.

Network: Gaussian visible units under three layers of 50, 50 and 100 binary units, and a softmax of two classes on top.

Training: in every fold anew and on its training subjects alone: contrastive divergence layer by layer with an L1
penalty, no class being looked at, then back-propagation through all layers on the classes.

Output: how well a linear support vector machine, a logistic regression and nearest neighbours tell held-out subjects'
classes from the input itself and from the features of each depth, as the mean of the two classes' F-scores; a class
with its probability for a new subject; the subjects in the plane, depth by depth.

Reported: the review says that the effect of depth was examined on a schizophrenia and a Huntington disease data set and
prints no number.

Departs from the paper in: epochs, rates and the size of L1 are ours, since the review does not print them. The F-score
is the mean over both classes. Penalties of the linear classifiers are chosen inside the training subjects. The plane is
t-SNE's, each depth begun at the layout of the depth below, where the paper has an embedding under constraints of its
own. A control is added that shuffles the classes before anything is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import group_of
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.models.dbn import DBN, Below
from workbench.models.finetuning import dbn_to_network
from workbench.models.layers import DEAD_BELOW
from workbench.models.mlp import MLP
from workbench.models.rbm import RBM
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.patches.scaling import Scaling
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Prediction, Preset, setting
from workbench.systems.depth_base import LIKELY_SUBJECTS, DepthLearning, two_classes
from workbench.systems.depth_classifiers import CLASSIFIERS, layouts, macro_f, predictions, principal
from workbench.systems.depth_views import DepthScores, Embedding
from workbench.systems.feature_scores import finite
from workbench.systems.layered_mlp import MLPLayers
from workbench.systems.regional_cv import Deal, class_of
from workbench.systems.views import FilterBank
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once
from workbench.tasks.supervised import Supervised

GAUSSIAN_UPDATE = 0.1
NETWORK = "network"
LIKELY_VOXELS = 60_465
TAKEN_UP = 20  # the stage of fine-tuning, for its own stream of draws


class Plis2014Depth(DepthLearning):
    """Settings with the sizes of the paper's network."""

    phantom: ClassVar[str] = "paired"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "50-50-100 units as in the paper, 10 folds; epochs and rates are ours."),
        Preset("cpu", "The same units, fewer epochs, 5 folds.",
               {"n_epochs_pretraining": 30, "n_epochs": 60, "n_folds": 5}),
        Preset("control", "The same with shuffled classes: every score must come out at chance.",
               {"n_epochs_pretraining": 30, "n_epochs": 60, "n_folds": 5, "permute": True}),
        Preset("quick", "12-12-24 units, a few epochs, 2 folds: seconds.",
               {"n_hidden": (12, 12, 24), "n_epochs_pretraining": 5, "n_epochs": 15, "n_folds": 2}),
    )  # fmt: skip
    n_hidden: tuple[int, ...] = setting(
        (50, 50, 100), "Hidden units", "Of each layer, from the input up.", "Network", min_length=1, max_length=8
    )
    weight_l1: float = setting(
        0.0003, "L1", "Of every layer's weights in pretraining; what it does depends on the number of inputs.",
        "Training", ge=0, le=10,
    )  # fmt: skip
    n_epochs_pretraining: int = setting(
        100, "Epochs a layer", "Of contrastive divergence.", "Training", ge=1, le=100_000
    )
    n_epochs: int = setting(100, "Epochs of fine-tuning", "Of all layers on the classes.", "Training", ge=1, le=100_000)
    gaussian_rate: float = setting(0.01, "Rate of the first layer", "At the start; falls to 0.", "Training", gt=0, le=1)
    learning_rate: float = setting(0.05, "Rate of binary layers", "At the start; falls to 0.", "Training", gt=0, le=1)
    fine_tuning_rate: float = setting(3e-3, "Rate of fine-tuning", "Of Adam.", "Training", gt=0, le=1)
    weight_decay: float = setting(1e-4, "Weight decay λ", "In fine-tuning.", "Training", ge=0, le=1)

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 16_384 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 16384 hidden units; got {list(self.n_hidden)}")
        return self

    @property
    def depths(self) -> tuple[str, ...]:
        """What the classifiers see."""
        return ("raw", *(f"depth {i + 1}" for i in range(len(self.n_hidden))))

    def stages(self) -> list[StagePlan]:
        """Name the stages of every fold and of all subjects."""
        return [plan for part in _parts(self.n_folds) for plan in self._plans(part)]

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Cross-validate every depth, then learn from all subjects."""
        x, held_out = self.read(cohort, run)
        training = Training(run, [p for part in _parts(held_out.n_folds) for p in self._plans(part)])
        for i in range(held_out.n_folds):
            if f"fold_{i + 1}" not in run.list_arrays():
                training.check_stop()
                self._fold(i, x, held_out, training, run)
        scaling = Scaling.learn(x, "standardize")
        network = self._learn(scaling.apply(x), held_out.target, training, "all")
        seen = self._seen_by(network, scaling.apply(x))
        run.save_weights("weights", {n: t.contiguous() for n, t in network.state_dict().items()})
        run.save_arrays("features", **{name.replace(" ", "_"): v for name, v in seen.items()})
        kept = run.load_arrays("maps") | {f"scaling_{n}": a for n, a in scaling.to_arrays().items()}
        run.save_arrays("maps", **kept)
        run.save_arrays("units", **{f"h{i + 1}": seen[name].mean(0) for i, name in enumerate(self.depths[1:])})
        run.finish(self._result(run, held_out))

    def trained_network(self, run: Run) -> MLP:
        """Give the network that was learnt from all subjects."""
        network = self._network(self._belief_net(int(run.load_arrays("maps")["inside"].sum())))
        self.trained(run, network)
        return network

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the class by the network of all subjects, with its probability."""
        classes = [str(c) for c in run.load_arrays("deal")["classes"]]
        x = self.seen_anew(Cohort(subject.folder / "cohort.csv", (subject,)), run)
        with torch.no_grad():
            p = torch.softmax(self.trained_network(run)(x)[0].double(), 0)
        return {"predicted": classes[int(p.argmax())], **{f"p({c})": float(v) for c, v in zip(classes, p, strict=True)}}

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Say of each subject whether each classifier is right at each depth: by the fold that held it out, or anew."""
        kept = run.load_arrays("deal")
        classes, own = [str(c) for c in kept["classes"]], {str(n): i for i, n in enumerate(kept["subjects"])}
        said = self._predicted(run, len(own))
        new = [s for s in cohort if s.name not in own]
        found = self._anew(Cohort(cohort.path, tuple(new)), run) if new else {}
        place = {s.name: i for i, s in enumerate(new)}
        subjects: dict[str, dict[str, float]] = {}
        for subject in cohort:
            value = class_of(subject, self.target)
            if value not in classes:
                raise CohortError(
                    f"Subject {subject.name} is of class {value}; the run tells {' from '.join(classes)}."
                )
            at, by = (own[subject.name], said) if subject.name in own else (place[subject.name], found)
            subjects[subject.name] = {n: float(v[at] == classes.index(value)) for n, v in by.items()}
        groups = [group_of(s) for s in cohort]
        summary = {
            f"{name}: accuracy": finite(mean_interval([s[name] for s in subjects.values()], clusters=groups))
            for name in said
        }
        return {"subjects": subjects, "summary": summary,
                "scored_by": {"held-out fold": len(cohort) - len(new), "model of all": len(new)}}  # fmt: skip

    def depth_scores(self, run: Run) -> DepthScores:
        """Give the F-scores of every fold."""
        kept = self.deal_of(run)
        said, target, fold = self._predicted(run, len(kept["fold"])), kept["target"], kept["fold"]
        f = [
            [[macro_f(target[fold == i], said[_name(c, d)][fold == i]) for d in self.depths] for c in CLASSIFIERS]
            for i in range(int(fold.max()) + 1)
        ]
        return DepthScores(self.depths, CLASSIFIERS, np.array(f), two_classes(kept), self.permute,
                           tuple(map(str, kept["notes"])))  # fmt: skip

    def embedding(self, run: Run) -> Embedding:
        """Lay the subjects out by the features of each depth of the first fold's network."""
        kept = self.deal_of(run)
        features = run.load_arrays("first_fold")
        if "layouts" not in run.list_arrays():
            places, trusted = layouts([features[d.replace(" ", "_")] for d in self.depths], self.seed)
            run.save_arrays("layouts", places=places, trusted=trusted)
        found = run.load_arrays("layouts")
        return Embedding(
            self.depths, found["places"], found["trusted"], tuple(map(str, kept["subjects"])), kept["target"],
            two_classes(kept), kept["fold"] == 0,
        )  # fmt: skip

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give what the units of a layer answer to, as maps or strips; a deeper layer's are products of weights."""
        kept, network, use = run.load_arrays("maps"), self.trained_network(run), run.load_arrays("units")
        depth = min(max(1, depth), len(self.n_hidden))
        rows = MLPLayers(network, {"input": (0, int(kept["inside"].sum()))}).patterns(f"h{depth}").numpy()
        shape = tuple(int(n) for n in kept["shape"])
        weights = np.zeros((len(rows), *shape), np.float32)
        weights.reshape(len(rows), -1)[:, kept["inside"]] = rows
        use_here = use[f"h{depth}"]
        return FilterBank(
            weights[:, None, :, None] if len(shape) == 1 else weights, use_here, use_here < DEAD_BELOW,
            np.linalg.norm(rows, axis=1), 0.0, [f"h{i + 1} ({n} units)" for i, n in enumerate(self.n_hidden)], depth,
            None, depth == 1,
        )  # fmt: skip

    def cost(self) -> Cost:
        """Count pretraining and fine-tuning of every fold, on maps of the paper's size."""
        sizes = [100 if self.source == "features" else LIKELY_VOXELS, *self.n_hidden, 2]
        weights = sum(a * b for a, b in pairwise(sizes))
        epochs = 10.0 * self.n_epochs_pretraining + 6.0 * self.n_epochs
        n_steps = -(-LIKELY_SUBJECTS // self.batch_size)
        return Cost(
            parameters=weights + sum(sizes), flops=weights * epochs * LIKELY_SUBJECTS * (self.n_folds + 1),
            memory_bytes=8.0 * LIKELY_SUBJECTS * sizes[0] + 24.0 * weights,
            n_steps=n_steps * (len(self.n_hidden) * self.n_epochs_pretraining + self.n_epochs) * (self.n_folds + 1),
            efficiency=0.15,
        )  # fmt: skip

    def _plans(self, part: str) -> list[StagePlan]:
        layers = [StagePlan(f"{part} layer {i + 1}", self.n_epochs_pretraining) for i in range(len(self.n_hidden))]
        return [*layers, StagePlan(f"{part} fine-tune", self.n_epochs)]

    def _fold(self, index: int, x: Tensor, held_out: Deal, training: Training, run: Run) -> None:
        held = held_out.fold == index
        scaling = Scaling.learn(x[~held], "standardize")
        z = scaling.apply(x)
        network = self._learn(z[~held], held_out.target[~held], training, f"fold {index + 1}")
        seen = self._seen_by(network, z)
        said = {
            _name(c, d): v for d, f in seen.items()
            for c, v in zip(CLASSIFIERS, predictions(f[~held], held_out.target[~held], f[held], self.seed), strict=True)
        }  # fmt: skip
        with torch.no_grad():
            said[NETWORK] = network(z[torch.from_numpy(held)]).argmax(1).numpy()
        if index == 0:
            shown = seen | {"raw": principal(seen["raw"], self.seed)}  # all voxels would be a large file
            run.save_arrays("first_fold", **{name.replace(" ", "_"): v for name, v in shown.items()})
        run.save_arrays(f"fold_{index + 1}", **{_key(n): v for n, v in said.items()})

    def _learn(self, x: Tensor, target: np.ndarray, training: Training, part: str) -> MLP:
        """Pretrain on some subjects layer by layer, then fine-tune on their classes."""
        examples = Examples(x, torch.from_numpy(target).long(), torch.zeros(len(x), dtype=torch.int64), [part])
        net = self._belief_net(x.shape[1])
        for i, rbm in enumerate(net.layers):
            assert isinstance(rbm, RBM)
            net.set_base_rates(i, x)
            batches = ExampleDataModule(examples, None, batch_size=self.batch_size, seed=self.seed * 1000 + i,
                                        n_parts=parts_at_once(rbm, self.batch_size))  # fmt: skip
            task = ContrastiveDivergence(
                rbm, learning_rate=self.learning_rate if i else self.gaussian_rate, learning_rate_end=0.0,
                n_steps_total=batches.n_updates * self.n_epochs_pretraining, mini_batch=self.batch_size,
                weight_decay=0.0, weight_l1=self.weight_l1, max_update_norm=0.0 if i else GAUSSIAN_UPDATE,
                below=Below(net, i), seed=self.seed, stage=i,
            )  # fmt: skip
            training.stage(f"{part} layer {i + 1}", task, batches, n_epochs=self.n_epochs_pretraining)
        network = self._network(net)
        batches = ExampleDataModule(examples, None, batch_size=self.batch_size, seed=self.seed * 1000 + TAKEN_UP)
        share = np.bincount(target, minlength=2) / len(target)
        tuning = Supervised(
            network, learning_rate=self.fine_tuning_rate, weight_decay=self.weight_decay,
            class_weights=(0.5 / share).tolist(), n_steps_total=batches.n_batches * self.n_epochs, seed=self.seed,
            stage=TAKEN_UP,
        )  # fmt: skip
        training.stage(f"{part} fine-tune", tuning, batches, n_epochs=self.n_epochs)
        return network.eval().requires_grad_(False)

    def _belief_net(self, n_visible: int) -> DBN:
        rbms = [
            RBM(a, b, visible="bernoulli" if i else "gaussian", seed=self.seed * 100 + i)
            for i, (a, b) in enumerate(pairwise([n_visible, *self.n_hidden]))
        ]
        return DBN(rbms, (n_visible,))

    def _network(self, net: DBN) -> MLP:
        return dbn_to_network(net, 2, seed=self.seed)

    def _seen_by(self, network: MLP, z: Tensor) -> dict[str, np.ndarray]:
        """Give what the classifiers see at each depth, (N, F)."""
        with torch.no_grad():
            return {d: (network.features(z, i) if i else z).numpy() for i, d in enumerate(self.depths)}

    def _anew(self, cohort: Cohort, run: Run) -> dict[str, np.ndarray]:
        """Give what each classifier says at each depth of subjects that the run did not learn from."""
        network, target = self.trained_network(run), run.load_arrays("deal")["target"]
        learnt, z = run.load_arrays("features"), self.seen_anew(cohort, run)
        said = {
            _name(c, d): v for d, f in self._seen_by(network, z).items()
            for c, v in zip(CLASSIFIERS, predictions(learnt[d.replace(" ", "_")], target, f, self.seed), strict=True)
        }  # fmt: skip
        with torch.no_grad():
            return said | {NETWORK: network(z).argmax(1).numpy()}

    def _predicted(self, run: Run, n: int) -> dict[str, np.ndarray]:
        """Give what was said of held-out subjects, (N,) by classifier and depth."""
        fold = self.deal_of(run)["fold"]
        names = [*(_name(c, d) for d in self.depths for c in CLASSIFIERS), NETWORK]
        said = {name: np.full(n, -1) for name in names}
        for i in range(int(fold.max()) + 1):
            kept = run.load_arrays(f"fold_{i + 1}")
            for name in names:
                said[name][fold == i] = kept[_key(name)]
        return said

    def _result(self, run: Run, held_out: Deal) -> dict[str, Any]:
        found = self.depth_scores(run)
        said = self._predicted(run, len(held_out.target))[NETWORK]
        network = [macro_f(held_out.target[held_out.fold == i], said[held_out.fold == i]) for i in range(len(found.f))]
        summary, scores = {f"{NETWORK}: F": finite(mean_interval(network))}, {"f_network": float(np.mean(network))}
        short: Callable[[str], str] = lambda text: text.replace(" ", "_")  # noqa: E731
        for c, name in enumerate(CLASSIFIERS):
            for d, depth in enumerate(self.depths):
                summary[f"{name}, {depth}: F"] = finite(mean_interval(found.f[:, c, d]))
                scores[f"f_{short(name)}_{short(depth)}"] = float(found.f[:, c, d].mean())
            gain = paired_difference_interval(found.f[:, c, -1], found.f[:, c, 0])
            summary[f"{name}: F of the last depth less raw"] = finite(gain)
        notes = [*held_out.notes, "Intervals are over folds, whose training subjects overlap: they are too narrow."]
        return {"scores": scores, "summary": summary, "notes": notes,
                "scored_on": f"cross-validation of {len(held_out.target)} subjects"}  # fmt: skip


def _parts(n_folds: int) -> list[str]:
    return [*(f"fold {i + 1}" for i in range(n_folds)), "all"]


def _name(classifier: str, depth: str) -> str:
    return f"{classifier}, {depth}"


def _key(name: str) -> str:
    return name.replace(", ", "_of_").replace(" ", "_")
