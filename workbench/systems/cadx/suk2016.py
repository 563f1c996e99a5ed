"""Deep auto-encoder and hidden Markov models of resting-state dynamics for the diagnosis of MCI (Suk et al. 2016).

Review: Section 3.5, Reference 33, Figure 10

Citation: Suk HI, Wee CY, Lee SW, Shen D. State-space model with deep learning for functional dynamics estimation in
resting-state fMRI. NeuroImage 129:292–307, 2016.

Input: regional time series of every subject, z-scored region by region; the paper takes the 116 regions of the AAL
atlas.

Network: a deep auto-encoder, 116-200-100-50-2 units here, from stacked restricted Boltzmann machines: Gaussian visible
units at the bottom, binary hidden ones, a linear code.

Training: every layer by contrastive divergence on the single volumes of all training subjects, whatever their class;
then encoder and decoder together by back-propagation. The codes are whitened, and for each class a hidden Markov model
with full covariances is fitted by Baum–Welch steps from several starts; the number of states is chosen by
cross-validation among the training subjects, or fixed.

Output: for each subject the log-likelihood ratio of the two classes' models per volume, above 0 for the second class;
the path of states; the mean signal of a state over regions, decoded from its mean code. With the
purpose "dynamics" one model of all subjects, who need no classes.

Reported: 81.08 % accuracy on 37 subjects of the authors' own cohort (12 with MCI, 25 controls), by the abstract.

Departs from the paper in: sizes of the layers, learning rates and the range of states are ours, since the review does
not print them and the paper was read in its abstract only; both classes are taken for equally likely; codes are
whitened before the models are fitted, so that the embedding's scale, which differs from seed to seed, does not matter.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from workbench.classical.decomposition import decompose
from workbench.classical.hmm import HiddenMarkov, decode, fit_hidden_markov, log_likelihood
from workbench.classical.model_order import choose_order
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval
from workbench.models.dbn import DBN, Below
from workbench.models.finetuning import dbn_to_stack
from workbench.models.rbm import RBM
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Prediction, Preset, Reported, setting
from workbench.systems.coded_states import CodedStates, Whitening, likelihood_ratio
from workbench.systems.regional_base import RegionalLearning
from workbench.systems.regional_data import Regional, RegionScale, regions_of
from workbench.systems.regional_views import RegionalNetworks, StatesView
from workbench.tasks.autoencoding import FineTuning
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once

OWN, LINEAR = "log-likelihood ratio", "log-likelihood ratio by PCA"
EVERYBODY = "all subjects"
GAUSSIAN_UPDATE = 0.1
N_ORDER_FOLDS = 3
FEEBLE_SHARE = 1e-3  # below which a run says that its code has nearly collapsed


class Suk2016(RegionalLearning):
    """Settings with the sizes of the full network."""

    phantom: ClassVar[str] = "bold-states"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "200-100-50-2 units, 100 epochs a layer, 10 folds; sizes are ours, the review prints none."),
        Preset("cpu", "The same units, 20 epochs a layer, 5 folds.",
               {"n_epochs_pretraining": 20, "n_epochs": 20, "n_folds": 5, "n_frames": 20_000, "max_states": 5}),
        Preset("dynamics", "One model of all subjects, without any diagnosis; 20 epochs a layer.",
               {"purpose": "dynamics", "n_epochs_pretraining": 20, "n_epochs": 20, "n_frames": 20_000,
                "max_states": 5}),
        Preset("quick", "16-8-2 units, a few epochs, three states, 2 folds: seconds.",
               {"n_hidden": (16, 8, 2), "n_epochs_pretraining": 8, "n_epochs": 20, "batch_size": 50,
                "gaussian_rate": 0.01, "fine_tuning_rate": 5e-3, "n_folds": 2, "n_states": 3,
                "n_frames": 2000, "n_restarts": 2}),
    )  # fmt: skip
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(
            "accuracy", "81.08 %", "37 subjects of the authors' own (12 MCI, 25 controls)", "abstract of the paper"
        ),
    )

    purpose: Literal["diagnosis", "dynamics"] = setting(
        "diagnosis", "Purpose", "diagnosis: a model for each of two classes, cross-validated; dynamics: one model of "
        "all subjects, who need no classes.", "Evaluation",
    )  # fmt: skip
    n_hidden: tuple[int, ...] = setting(
        (200, 100, 50, 2), "Units", "Of each layer from the signals up; the last is the linear code.", "Network",
        min_length=1, max_length=8,
    )  # fmt: skip
    n_epochs_pretraining: int = setting(
        100, "Epochs a layer", "Of contrastive divergence.", "Training", ge=1, le=10_000
    )
    n_epochs: int = setting(
        50, "Epochs of fine-tuning", "Of encoder and decoder together.", "Training", ge=1, le=10_000
    )
    learning_rate: float = setting(
        0.05, "Learning rate", "Of binary layers at the start; falls to 0.", "Training", gt=0, le=1
    )
    gaussian_rate: float = setting(
        0.002, "Rate of real-valued layers", "Of the first and of the code's layer.", "Training", gt=0, le=1
    )
    fine_tuning_rate: float = setting(1e-3, "Rate of fine-tuning", "Of Adam.", "Training", gt=0, le=1)
    weight_l1: float = setting(
        0.001, "L1 of the first layer", "Makes its units look at few regions, as Figure 10 shows them.", "Training",
        ge=0, le=1,
    )  # fmt: skip
    batch_size: int = setting(100, "Batch size", "Volumes in a step.", "Training", ge=2, le=65_536)
    n_frames: int = setting(
        200_000, "Volumes to learn from", "Drawn from the training subjects at most, for the auto-encoder.", "Data",
        ge=100, le=50_000_000,
    )  # fmt: skip
    n_states: int = setting(0, "Hidden states", "Of each class; 0 chooses by cross-validation.", "States", ge=0, le=20)
    max_states: int = setting(8, "Most states", "Tried when they are chosen, from 2 on.", "States", ge=2, le=20)
    n_restarts: int = setting(5, "Starts", "Of each hidden Markov model; the likeliest is kept.", "States", ge=1, le=50)

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 4096 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 4096 units; got {list(self.n_hidden)}")
        return self

    @property
    def is_supervised(self) -> bool:
        """Whether classes are needed."""
        return self.purpose == "diagnosis"

    @property
    def score_words(self) -> str:
        """What the score is."""
        return "log-likelihood ratio of the two classes (nats a volume)"

    def stages(self) -> list[StagePlan]:
        """Name the stages of every fold and of all subjects."""
        return [plan for part in self._parts(self.n_folds) for plan in self._plans(part)]

    def _parts(self, n_folds: int) -> list[str]:
        return [*(f"fold {i + 1}" for i in range(n_folds if self.is_supervised else 0)), "all"]

    def _plans(self, part: str) -> list[StagePlan]:
        layers = [StagePlan(f"{part} layer {i + 1}", self.n_epochs_pretraining) for i in range(len(self.n_hidden))]
        return [*layers, StagePlan(f"{part} fine-tune", self.n_epochs)]

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Cross-validate, learn from all subjects, and keep what the run is looked at by."""
        data, held_out = self.prepare(cohort, run)
        parts = self._parts(held_out.n_folds if held_out else 0)
        training = Training(run, [plan for part in parts for plan in self._plans(part)])
        if held_out is None:
            target = np.zeros(len(data), int)
            run.save_arrays("deal", target=target, subjects=np.array(data.names), classes=np.array([EVERYBODY]))
            learnt = self.learn(data, target, training, "all")
        else:
            scores, learnt = self.cross_validate(data, held_out, run, training)
        learnt.save(run)
        run.save_arrays("frames", lengths=np.array([len(s) for s in data.series]),
                        codes=np.concatenate([learnt.codes(s) for s in data.series]).astype(np.float32))  # fmt: skip
        if learnt.whitening.share < FEEBLE_SHARE:
            run.log(
                "ALARM: the code has nearly collapsed: its least varying direction has "
                f"{learnt.whitening.share:.1e} of the variance of the most varying one; train longer, or take another "
                "seed"
            )
        for c, model in zip(run.load_arrays("deal")["classes"], learnt.models, strict=True):
            run.log(f"{c}: {model.n_states} states. {' '.join(model.notes)}")
        run.finish(self._likely(cohort, run) if held_out is None else self.conclude(run, held_out, scores, data))

    def _likely(self, cohort: Cohort, run: Run) -> dict[str, Any]:
        """Give how likely volumes are under the one model: of test subjects, else of those learnt from."""
        names = (run.info.split or {}).get("test") or [str(n) for n in run.load_arrays("deal")["subjects"]]
        where = "test subjects" if (run.info.split or {}).get("test") else "subjects learnt from"
        found = self.evaluate(cohort.only(names), run)
        return {"scores": {"log_likelihood": found["summary"]["log_likelihood"][0]}, "scored_on": where,
                "summary": found["summary"]}  # fmt: skip

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the class and its scores; without classes the log-likelihood a volume and the time in each state."""
        if self.is_supervised:
            return super().predict(subject, run)
        learnt, data = self.learnt(run), self.seen(Cohort(subject.folder / "cohort.csv", (subject,)), run)
        codes, model = learnt.codes(data.series[0]), learnt.models[0]
        share = np.bincount(decode(model, codes), minlength=model.n_states) / len(codes)
        states = {f"share of state {k + 1}": float(v) for k, v in enumerate(share)}
        return {"log_likelihood": log_likelihood(model, codes) / len(codes), **states}

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score each subject; without classes by the log-likelihood of its codes in nats a volume."""
        if self.is_supervised:
            return super().evaluate(cohort, run, progress)
        rows = {s.name: {"log_likelihood": float(self.predict(s, run)["log_likelihood"])} for s in cohort}  # type: ignore[index]
        values = np.array([row["log_likelihood"] for row in rows.values()])
        return {"subjects": rows, "summary": {"log_likelihood": list(mean_interval(values))}, "unit": "nats a volume"}

    def cannot_show(self, run: Run) -> frozenset[str]:
        """Without classes there is no diagnosis."""
        return super().cannot_show(run) | (frozenset() if self.is_supervised else {"diagnosis"})

    def learn(self, data: Regional, target: np.ndarray, training: Training, part: str) -> CodedStates:
        """Learn the coder from all subjects of the part, then a hidden Markov model from each class."""
        scale = RegionScale.learn(data.series, self.scaling)
        frames = torch.from_numpy(scale.apply(self._frames(data)))
        stack = self._coder(frames, training, part)
        with torch.no_grad():
            whitening = Whitening.learn(stack.encode(frames).double().numpy())
        components = decompose(frames.numpy(), "pca", self.n_hidden[-1], self.seed).maps.T
        linear = Whitening.learn(frames.numpy() @ components)
        learnt = CodedStates(scale, stack, whitening, (), components, linear, ())
        codes = ([learnt.codes(one) for one in data.series], [learnt.linear_codes(one) for one in data.series])
        deep, flat = (self._models(found, target, training) for found in codes)
        return replace(learnt, models=deep, linear_models=flat)

    def scores_of(self, learnt: CodedStates, data: Regional) -> dict[str, np.ndarray]:
        """Give log p(second class's model) - log p(first class's) per volume, by the deep and by the linear code."""
        deep = [likelihood_ratio(learnt.models, learnt.codes(one)) for one in data.series]
        linear = [likelihood_ratio(learnt.linear_models, learnt.linear_codes(one)) for one in data.series]
        return {OWN: np.array(deep), LINEAR: np.array(linear)}

    def learnt(self, run: Run) -> CodedStates:
        """Give what was learnt from all subjects."""
        return CodedStates.load(run, dbn_to_stack(self._belief_net(len(regions_of(run).regions))))

    def regional_networks(self, run: Run) -> RegionalNetworks:
        """Give the first layer's weights over regions, as Figure 10 draws them."""
        regions, stack = regions_of(run), self.learnt(run).stack
        weights = stack.layer(0).weight.detach().numpy()
        return RegionalNetworks(
            weights, tuple(f"unit {i + 1}" for i in range(len(weights))), regions.regions, regions.coordinates_mm,
            regions.networks, None, regions.connectivity, "weight of the first layer",
        )  # fmt: skip

    def states(self, run: Run) -> list[StatesView]:
        """Give every subject's path under each class's model, learnt from all of them, and the states' signals."""
        learnt, regions, kept = self.learnt(run), regions_of(run), run.load_arrays("deal")
        frames = run.load_arrays("frames")
        codes = np.split(frames["codes"].astype(np.float64), np.cumsum(frames["lengths"])[:-1])
        classes = [str(c) for c in kept["classes"]]
        views = []
        for c, model in zip(classes, learnt.models, strict=True):
            views.append(StatesView(
                f"model of {c}", tuple(map(str, kept["subjects"])), tuple(classes[t] for t in kept["target"]),
                tuple(decode(model, one) for one in codes), regions.tr_s, model.transitions, learnt.patterns(model),
                model.means, np.zeros(len(codes), bool),
            ))  # fmt: skip
        return views

    def cost(self) -> Cost:
        """Count contrastive divergence of each layer and back-propagation through all, in every fold."""
        sizes = [116, *self.n_hidden]
        weights = sum(a * b for a, b in pairwise(sizes))
        n_steps = -(-self.n_frames // self.batch_size)
        epochs = self.n_epochs_pretraining * 10 + self.n_epochs * 12
        return Cost(
            parameters=weights + sum(sizes), flops=float(weights) * epochs * self.n_frames * (self.n_folds + 1),
            memory_bytes=8.0 * self.n_frames * 116 + 24.0 * weights,
            n_steps=n_steps * (len(self.n_hidden) * self.n_epochs_pretraining + self.n_epochs) * (self.n_folds + 1),
            efficiency=0.15,
        )  # fmt: skip

    def _belief_net(self, n_regions: int) -> DBN:
        sizes = [n_regions, *self.n_hidden]
        rbms = []
        for i, (below, above) in enumerate(pairwise(sizes)):
            visible = "gaussian" if i == 0 else "bernoulli"
            hidden = "gaussian" if i == len(self.n_hidden) - 1 else "bernoulli"
            rbms.append(RBM(below, above, visible=visible, hidden=hidden, seed=self.seed * 100 + i))
        return DBN(rbms, (n_regions,))

    def _frames(self, data: Regional) -> np.ndarray:
        """Draw volumes (n, R) of the subjects, each with as many as its length has a share in."""
        total = sum(len(one) for one in data.series)
        share = min(1.0, self.n_frames / total)
        rng = np.random.default_rng([self.seed, 3])
        drawn = [
            one if share == 1 else one[np.sort(rng.permutation(len(one))[: max(1, round(share * len(one)))])]
            for one in data.series
        ]
        return np.concatenate(drawn)

    def _coder(self, x: Tensor, training: Training, part: str) -> StackedAutoEncoder:
        examples = Examples(x, None, torch.zeros(len(x), dtype=torch.int64), [part])
        net = self._belief_net(x.shape[1])
        for i, rbm in enumerate(net.layers):
            assert isinstance(rbm, RBM)
            net.set_base_rates(i, x)
            is_real = i == 0 or i == len(self.n_hidden) - 1
            batches = ExampleDataModule(
                examples, None, batch_size=self.batch_size, seed=self.seed * 1000 + i,
                n_parts=parts_at_once(rbm, self.batch_size),
            )  # fmt: skip
            task = ContrastiveDivergence(
                rbm, learning_rate=self.gaussian_rate if is_real else self.learning_rate, learning_rate_end=0.0,
                n_steps_total=batches.n_updates * self.n_epochs_pretraining, mini_batch=self.batch_size,
                weight_l1=self.weight_l1 if i == 0 else 0.0, max_update_norm=GAUSSIAN_UPDATE if is_real else 0.0,
                below=Below(net, i), seed=self.seed, stage=i,
            )  # fmt: skip
            training.stage(f"{part} layer {i + 1}", task, batches, n_epochs=self.n_epochs_pretraining)
        stack = dbn_to_stack(net)
        batches = ExampleDataModule(examples, None, batch_size=self.batch_size, seed=self.seed * 1000 + 99)
        task_tuning = FineTuning(stack, learning_rate=self.fine_tuning_rate, seed=self.seed)
        training.stage(f"{part} fine-tune", task_tuning, batches, n_epochs=self.n_epochs)
        return stack.eval().requires_grad_(False)

    def _models(self, codes: list[np.ndarray], target: np.ndarray, training: Training) -> tuple[HiddenMarkov, ...]:
        found = []
        for c in np.unique(target).tolist():
            training.check_stop()
            own = [one for one, t in zip(codes, target, strict=True) if t == c]
            k = self.n_states
            if not k:
                n_folds = min(N_ORDER_FOLDS, len(own))
                k = choose_order(own, range(2, self.max_states + 1), n_folds=n_folds, seed=self.seed).chosen
            found.append(fit_hidden_markov(own, k, n_restarts=self.n_restarts, seed=self.seed))
        return tuple(found)
