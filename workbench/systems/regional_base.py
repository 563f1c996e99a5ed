"""The base of systems on regional time series (Section 3.5): who takes part, folds, baselines, record, scores."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.classical.connectivity import connectivity_vectors, inverse_fisher_z, to_matrix
from workbench.errors import CohortError, RunError, WorkbenchError
from workbench.imaging.atlases import atlas_of
from workbench.imaging.cohort import Cohort
from workbench.imaging.region_table import RegionTable
from workbench.imaging.regional_cohort import RegionalCohort, regional_cohort, regions_differ
from workbench.imaging.subject import Subject
from workbench.imaging.voxels import check_memory
from workbench.metrics.classification import accuracy, auc
from workbench.progress import Progress, silent
from workbench.runs.run import Run, run_progress
from workbench.runs.training import Training
from workbench.systems.base import Prediction, System, setting
from workbench.systems.regional_cv import P_NOTE, Deal, class_of, deal, linear_scores, site_accuracy, summary
from workbench.systems.regional_data import Regional, regions_of, z_scored
from workbench.systems.regional_views import Diagnosis, RegionalNetworks

BASELINE = "linear machine on connectivity"
MIN_FRAMES = 20
MOST_CONNECTED = 1000  # regions of which all connections are kept: half a million
COPIES = 5  # of all series, that are in memory at once: as they are, z-scored, and as examples


class RegionalLearning(System):
    """What systems on regional signals share; ``learn`` and ``score_of`` are the system's own."""

    phantom: ClassVar[str] = "bold"

    target: str = setting(
        "", "Target", "A covariate with two values to tell apart; empty takes the subject's target.", "Data"
    )
    scaling: Literal["subject", "training"] = setting(
        "subject",
        "Scaling",
        "z-scores of every region by the subject's own mean and deviation over time, as BOLD has no unit of its own; "
        "or by those of the training subjects, where all come from one scanner and the mean level means something.",
        "Data",
    )
    n_folds: int = setting(
        10,
        "Folds",
        "Of the cross-validation; as many as there are subjects leaves one out.",
        "Evaluation",
        ge=2,
        le=1000,
    )
    hold_out: Literal["groups", "subjects"] = setting(
        "groups",
        "Hold out",
        "Whole groups (sites, families), or single subjects even if others of their group are learnt from.",
        "Evaluation",
    )
    permute: bool = setting(
        False,
        "Shuffle classes",
        "A control: classes are shuffled before anything is learnt, so scores must come out at chance.",
        "Evaluation",
    )

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        without = [s.name for s in cohort if s.series is None]
        if without:
            raise CohortError(
                f"This system learns from regional time series, and {without[0]} has none ({len(without)} of "
                f"{len(cohort)} subjects); bring a series column, or extract regions from 4-D images first."
            )
        first = cohort.subjects[0].regional_series()
        check_memory(
            float(COPIES) * first.values.nbytes * len(cohort),
            f"To learn from {len(cohort)} subjects of about {first.n_times:,} × {first.n_regions:,} values",
        )
        if not self.is_supervised:
            return
        if first.n_regions > MOST_CONNECTED:
            raise CohortError(
                f"This system learns from connections between regions, and {first.n_regions:,} regions or voxels have "
                f"{first.n_regions * (first.n_regions - 1) // 2:,}; extract at most {MOST_CONNECTED:,} regions by an "
                "atlas. Voxels are learnt from by plis2014."
            )
        deal(cohort, [s.name for s in cohort], self.target, self.n_folds, self.seed, permute=False,
             by_group=self.hold_out == "groups")  # fmt: skip

    @property
    def is_supervised(self) -> bool:
        """Whether classes are needed."""
        return True

    def read(self, cohort: Cohort, progress: Progress = silent) -> tuple[Regional, RegionalCohort]:
        """Read and z-score the series of all subjects.

        Raises:
            CohortError: too few volumes, or regions that do not fit together.
        """
        found = regional_cohort(cohort, progress)
        short = [n for n, t in zip(found.subjects, found.n_times, strict=True) if t < MIN_FRAMES]
        if short:
            raise CohortError(f"The series of {short[0]} has fewer than {MIN_FRAMES} volumes; leave it out.")
        series = tuple(self._seen(one.values) for one in found.series)
        return Regional(found.subjects, series, found.regions, found.tr_s), found

    def prepare(self, cohort: Cohort, run: Run) -> tuple[Regional, Deal | None]:
        """Read the subjects of the run's split that are learnt from, deal them to folds, and leave the record.

        Training and validation subjects take part in the cross-validation; test subjects never do.
        """
        split = run.info.split or {"train": [s.name for s in cohort], "validation": [], "test": []}
        names = [*split["train"], *split.get("validation", [])]
        names = [s.name for s in cohort if s.name in set(names)]
        data, found = self.read(cohort.only(names), run_progress(run, "preparing"))
        for note in found.notes:
            run.log(note)
        held_out = None
        if self.is_supervised:
            held_out = deal(cohort, names, self.target, self.n_folds, self.seed, permute=self.permute,
                            by_group=self.hold_out == "groups")  # fmt: skip
            run.save_arrays(
                "deal", target=held_out.target, fold=held_out.fold, subjects=np.array(held_out.subjects),
                classes=np.array(held_out.classes), groups=np.array(held_out.groups), notes=np.array(held_out.notes),
                sites=np.array([cohort[n].covariates.get("site") or cohort[n].group or "" for n in names]),
            )  # fmt: skip
        table, voxel_mm = found.table or _empty_table(data.regions), _voxel_mm(cohort)
        run.save_arrays(
            "regions", regions=np.array(data.regions), coordinates_mm=table.coordinates_mm,
            networks=np.array(table.networks), tr_s=np.array(np.nan if data.tr_s is None else data.tr_s),
            connectivity=_mean_connectivity(data), dropped=np.array(found.dropped), notes=np.array(found.notes),
            voxel_mm=np.array(np.nan if voxel_mm is None else voxel_mm),
        )  # fmt: skip
        return data, held_out

    def cross_validate(
        self, data: Regional, held_out: Deal, run: Run, training: Training
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Score every subject by models that never saw its group, then learn from all; keep what is scored.

        A fold that a stopped run had finished is not learnt again.

        Returns:
            Scores by method, (N,) each, and what was learnt from all subjects.
        """
        edges = connectivity_vectors(data.series)
        scores: dict[str, np.ndarray] = {}
        for i in range(held_out.n_folds):
            held = held_out.fold == i
            key = f"fold_{i + 1}"
            if key not in run.list_arrays():
                training.check_stop()
                learnt = self.learn(data.only(~held), held_out.target[~held], training, f"fold {i + 1}")
                run.save_arrays(key, **self.scores_of(learnt, data.only(held)))
            for name, values in run.load_arrays(key).items():
                scores.setdefault(name, np.full(len(data), np.nan))[held] = values
        if "linear" not in run.list_arrays():
            training.check_stop()
            run.save_arrays("linear", scores=linear_scores(edges, held_out.target, held_out.fold, self.seed))
        scores[BASELINE] = run.load_arrays("linear")["scores"]
        learnt = self.learn(data, held_out.target, training, "all")
        run.save_arrays("scores", **{name.replace(" ", "_"): values for name, values in scores.items()})
        return scores, learnt

    def conclude(self, run: Run, held_out: Deal, scores: dict[str, np.ndarray], data: Regional) -> dict[str, Any]:
        """Give the run's result: every method with intervals, and how well the site can be told."""
        table = summary(held_out, scores, seed=self.seed)
        sites = run.load_arrays("deal")["sites"].tolist()
        told = site_accuracy(connectivity_vectors(data.series), sites, self.seed)
        if told:
            table["site by a linear machine: balanced accuracy"] = told
        own = next(iter(scores))
        named = {"auc": table[f"{own}: auc"][0], "accuracy": table[f"{own}: accuracy"][0],
                 "linear_auc": table[f"{BASELINE}: auc"][0], "linear_accuracy": table[f"{BASELINE}: accuracy"][0],
                 "p": table[f"{own}: p"][0]}  # fmt: skip
        return {
            "scores": named, "summary": table, "scored_on": f"cross-validation of {len(data)} subjects",
            "notes": [*held_out.notes, P_NOTE],
        }  # fmt: skip

    @abstractmethod
    def learn(self, data: Regional, target: np.ndarray, training: Training, part: str) -> Any:
        """Learn from some subjects; ``part`` begins the names of its stages."""

    @abstractmethod
    def scores_of(self, learnt: Any, data: Regional) -> dict[str, np.ndarray]:
        """Give the scores of subjects by method, (n,) each, high for class 1 and above 0 where that is likelier."""

    @abstractmethod
    def learnt(self, run: Run) -> Any:
        """Give what a finished run learnt from all its subjects."""

    def seen(self, cohort: Cohort, run: Run) -> Regional:
        """Read subjects as a trained run sees them: the regions that it knows, in its order.

        Raises:
            CohortError: a region is missing or without signal, or the regions are others.
        """
        regions = regions_of(run).regions
        dropped = set(run.load_arrays("regions")["dropped"].tolist())
        series, tr = [], set()
        for subject in cohort:
            one = subject.regional_series(len(regions) + len(dropped))
            if set(regions) <= set(one.regions):
                one = one.only(regions)
            elif one.n_regions == len(regions) + len(dropped) and one.regions[0] == "region 1":
                raise CohortError(f"The series of {subject.name} has no region names; the run knows them by name.")
            elif difference := regions_differ(regions, f"run {run.id}", one.regions, subject.name):
                raise CohortError(difference)
            lacking = [*one.missing, *one.constant]
            if lacking:
                raise CohortError(f"Region {lacking[0]} of {subject.name} has no changing signal, and the run uses it.")
            known = np.isfinite(one.values).all(1)
            series.append(self._seen(one.values[known]))
            tr.add(one.tr_s)
        return Regional(tuple(s.name for s in cohort), tuple(series), regions, tr.pop() if len(tr) == 1 else None)

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the class and the scores of one subject, by what was learnt from all."""
        data = self.seen(Cohort(subject.folder / "cohort.csv", (subject,)), run)
        classes = [str(c) for c in run.load_arrays("deal")["classes"]]
        scores = {name: float(v[0]) for name, v in self.scores_of(self.learnt(run), data).items()}
        own = next(iter(scores.values()))
        return {"predicted": classes[int(own > 0)], **scores}

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score each subject: one that was learnt from by the fold that held it out, a new one by the last model."""
        kept = run.load_arrays("deal")
        own = {str(n): i for i, n in enumerate(kept["subjects"])}
        classes = [str(c) for c in kept["classes"]]
        scores, subjects, target = run.load_arrays("scores"), {}, []
        new = [s for s in cohort if s.name not in own]
        found = self.scores_of(self.learnt(run), self.seen(Cohort(cohort.path, tuple(new)), run)) if new else {}
        place = {s.name: i for i, s in enumerate(new)}
        for subject in cohort:
            name = subject.name
            row = (
                {key.replace("_", " "): float(v[own[name]]) for key, v in scores.items()}
                if name in own
                else {key: float(v[place[name]]) for key, v in found.items()}
            )
            value = class_of(subject, self.target)
            if value not in classes:
                raise CohortError(f"Subject {name} is of class {value}; the run tells {' from '.join(classes)}.")
            target.append(classes.index(value))
            first = next(iter(row.values()))
            subjects[name] = row | {"correct": float((first > 0) == target[-1])}
        first_name = next(iter(next(iter(subjects.values()))))
        values = np.array([s[first_name] for s in subjects.values()])
        return {"subjects": subjects, "summary": _overall(np.array(target), values, self.seed),
                "scored_by": {"held-out fold": len(cohort) - len(new), "model of all": len(new)}}  # fmt: skip

    def regional_networks(self, run: Run) -> RegionalNetworks:
        """Give what the units look at."""
        raise NotImplementedError  # abstract

    def diagnosis(self, run: Run) -> Diagnosis:
        """Give the cross-validated scores of all subjects."""
        if "scores" not in run.list_arrays():
            raise RunError(f"Run {run.id} has not scored its subjects yet; wait until it is finished, or resume it.")
        kept, scores = run.load_arrays("deal"), run.load_arrays("scores")
        classes = [str(c) for c in kept["classes"]]
        return Diagnosis(
            tuple(map(str, kept["subjects"])), kept["target"], (classes[0], classes[1]),
            {name.replace("_", " "): values for name, values in scores.items()},
            {name.replace("_", " "): 0.0 for name in scores}, kept["fold"], tuple(map(str, kept["sites"])),
            self.score_words, tuple(map(str, kept["notes"])),
        )  # fmt: skip

    def _seen(self, values: np.ndarray) -> np.ndarray:
        """Scale a subject's signals (T, R) by themselves, or leave them for the training part to scale."""
        return z_scored(values) if self.scaling == "subject" else np.asarray(values, np.float32)

    @property
    def score_words(self) -> str:
        """What the system's own score is, with its unit."""
        return "score"


def _voxel_mm(cohort: Cohort) -> float | None:
    """Give the edge of the cohort's voxels; None of regions, or where the atlas beside the cohort is damaged."""
    try:
        atlas = atlas_of(cohort)
    except WorkbenchError:  # the tables are what is learnt from
        return None
    return None if atlas is None else atlas.voxel_mm


def _mean_connectivity(data: Regional) -> np.ndarray:
    """Give the mean correlation (R, R) over subjects; (0, 0) of so many regions that nobody looks at a matrix."""
    if len(data.regions) > MOST_CONNECTED:
        return np.zeros((0, 0))
    return to_matrix(inverse_fisher_z(connectivity_vectors(data.series).astype(np.float64).mean(0)))


def _empty_table(regions: tuple[str, ...]) -> RegionTable:
    return RegionTable(regions, np.full((len(regions), 3), np.nan, np.float32), ("",) * len(regions))


def _overall(target: np.ndarray, values: np.ndarray, seed: int) -> dict[str, list[float]]:
    from workbench.metrics.classification import statistic_interval

    found: dict[str, list[float]] = {}
    for name, measure, scores in (("auc", auc, values), ("accuracy", accuracy, (values > 0).astype(int))):
        try:
            found[name] = [float(v) for v in statistic_interval(measure, target, scores, seed=seed)]
        except WorkbenchError:
            continue
    return found
