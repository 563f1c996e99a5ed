"""The base of RBMs and deep belief networks: likelihood or its bound, chains, classes."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.metrics.likelihood import PartitionEstimate, estimate_partition, log_z_by_enumeration
from workbench.models.belief_net import BeliefNet
from workbench.models.class_rbm import ClassRBM
from workbench.models.rbm import RBM
from workbench.patches.examples import Examples
from workbench.progress import Progress
from workbench.runs.run import Run
from workbench.systems.base import setting
from workbench.systems.belief_chains import belief_chains
from workbench.systems.energy_base import N_AT_ONCE
from workbench.systems.example_targets import Targets
from workbench.systems.examples_base import Data, Record, as_pictures, check_targets
from workbench.systems.layered_belief import BeliefLayers
from workbench.systems.measured_base import MeasuredLearning, betas
from workbench.systems.views import Chains

MOST_ENUMERATED = 18
N_BURN_IN = 500
N_BOUND_SAMPLES = 20


class BeliefLearning(MeasuredLearning):
    """What RBMs and belief networks share; the top may hold a label group (Reference 119)."""

    labels: Literal["none", "joint"] = setting(
        "none", "Labels", "joint: a group of label units beside the top's visible units, learnt together.", "Network"
    )
    generative_share: float = setting(
        1.0,
        "Generative share",
        "Of label units: 1 learns p(v, y), 0 only the class given the input, between is the hybrid; examples without a "
        "class always learn generatively.",
        "Network",
        ge=0,
        le=1,
    )
    target: str = setting(
        "", "Target", "A covariate for the label units; empty takes the label at a patch's center, else the target.",
        "Data",
    )  # fmt: skip

    @abstractmethod
    def network(self, shape: tuple[int, ...], n_classes: int) -> BeliefNet:
        """Give the untrained network for examples of a shape; ``n_classes`` 0 is without a label group."""

    def machine(self, index: int, n_visible: int, n_hidden: int, n_classes: int, visible: str) -> RBM:
        """Make one RBM; with classes, one with a label group."""
        seed = self.seed * 100 + index
        if n_classes:
            return ClassRBM(n_visible, n_hidden, n_classes, visible=visible, centered=self.centered, seed=seed)
        return RBM(n_visible, n_hidden, visible=visible, hidden=self.hidden_kind, centered=self.centered, seed=seed)

    @property
    def hidden_kind(self) -> str:
        """The kind of the hidden units."""
        return "bernoulli"

    def net(self, run: Run) -> Any:
        """Give the trained network of a run, in eval mode."""
        record = self.record(run)
        return self.trained(run, self.network(record.shape, _n_classes(record)))

    def layers(self, run: Run) -> BeliefLayers:
        """Give the trained network as layers of units."""
        record = self.record(run)
        return BeliefLayers(self.net(run), record.blocks, record.targets.classes if record.targets else ())

    def learnt_from(self, cohort: Cohort, run: Run) -> Data:
        """Read the examples, with classes where labels are learnt too."""
        if self.labels == "none":
            return self.data(cohort, run)
        return self.data(cohort, run, task="classification", target=self.target)

    def partition(self, net: Any, kept: Tensor, n_betas: int, n_chains: int, progress: Progress) -> PartitionEstimate:
        """Estimate log Z of the top RBM from its inputs' base rates, forward and in reverse; exactly where small."""
        top: RBM = copy.deepcopy(net.top).double()
        generator = torch.Generator().manual_seed(self.seed)
        v = net.layer_input(kept[:n_chains], net.n_layers - 1, generator if net.n_layers > 1 else None).double()
        rates = net.layer_input(kept, net.n_layers - 1).double().mean(0)
        exact = None
        if top.n_hidden <= MOST_ENUMERATED and top.hidden == "bernoulli":
            exact = float(log_z_by_enumeration(top.log_marginal_hidden, top.n_hidden))
        samples = top.gibbs(v, N_BURN_IN, generator)
        if isinstance(top, ClassRBM):
            samples = top.complete(samples[:, : top.n_visible], None, generator)
        return estimate_partition(
            top.annealed(rates), samples=samples, exact=exact, betas=betas(n_betas), n_chains=n_chains, seed=self.seed,
            progress=progress,
        )  # fmt: skip

    def log_p(self, net: Any, x: Tensor, log_z: float) -> tuple[Tensor, str]:
        """Give log p(x): by the free energy of an RBM, by the variational bound of a deeper network."""
        with torch.no_grad():
            if net.n_layers == 1:
                return -copy.deepcopy(net.top).double().free_energy(x.flatten(1).double()) - log_z, "estimate"
            generator = torch.Generator().manual_seed(self.seed)
            return net.bound(x, log_z, generator, N_BOUND_SAMPLES), "bound"

    def generation_choices(self, run: Run) -> dict[str, list[str]]:
        """Give what a chain can hold fixed."""
        record, net = self.record(run), self.net(run)
        blocks = list(record.blocks) if len(record.blocks) > 1 and net.n_layers == 1 else []
        return {"clamp": blocks, "label": list(record.targets.classes) if record.targets else []}

    def generate(
        self, run: Run, *, n_chains: int, steps: tuple[int, ...], start: str, clamp: str, label: str, seed: int
    ) -> Chains:
        """Run Gibbs chains; see :func:`workbench.workflow.generate`."""
        net, record = self.net(run), self.record(run)
        choices = self.generation_choices(run)
        for value, known, what in ((clamp, choices["clamp"], "clamp"), (label, choices["label"], "class")):
            if value and value not in known:
                raise SettingsError(f"There is no {what} {value!r} here; known are {', '.join(known) or 'none'}.")
        held = torch.from_numpy(run.load_arrays("patches")["patches"])
        held = held[torch.arange(n_chains) % len(held)]
        classes = None
        if label:
            classes = torch.full((n_chains,), record.targets.classes.index(label))  # type: ignore[union-attr]
        clamped = {record.blocks[clamp]: held.flatten(1)[:, slice(*record.blocks[clamp])]} if clamp else None
        means, free = belief_chains(
            net, held if start == "data" and not clamp else None, n_chains, steps,
            torch.Generator().manual_seed(seed), classes=classes, clamped=clamped,
        )  # fmt: skip
        return Chains(
            states=shown(means, record),
            steps=list(steps),
            free_energy=free.numpy(),
            start="held-out examples" if start == "data" and not clamp else "noise",
            labels=[label] * n_chains if label else [],
            clamped=(clamp,) if clamp else (),
            truth=as_pictures(record.scaling.undo(held)).numpy() if clamp else None,
        )

    def class_probabilities(self, net: Any, x: Tensor) -> Tensor:
        """Give p(class | x) (N, K), exact in the top RBM."""
        return torch.cat([net.class_probabilities(part) for part in x.split(N_AT_ONCE)])

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        super().check(cohort)
        if self.labels != "none":
            check_targets(cohort, self.example_source.resolved(cohort), "classification", self.target)

    def more_scores(self, net: nn.Module, data: Data) -> dict[str, float]:
        """Give the accuracy of the label group's exact posterior on held-out examples."""
        held_out = data.held_out[0]
        if not isinstance(net, BeliefNet) or not isinstance(net.top, ClassRBM) or held_out.target is None:
            return {}
        return {"accuracy": label_accuracy(net, held_out)}


def label_accuracy(net: BeliefNet, examples: Examples) -> float:
    """Give the share of examples whose likeliest class is the true one."""
    assert examples.target is not None
    return float((net.class_probabilities(examples.x).argmax(1) == examples.target).double().mean())


def shown(means: Tensor, record: Record) -> Any:
    """Give states (n_chains, n_steps, *shape) in the image's units, as pictures (n_chains, n_steps, C, *spatial)."""
    n_chains, n_steps = means.shape[:2]
    pictures = as_pictures(record.scaling.undo(means.flatten(0, 1)))
    return pictures.reshape(n_chains, n_steps, *pictures.shape[1:]).numpy()


def _n_classes(record: Record) -> int:
    return len((record.targets or Targets()).classes)
