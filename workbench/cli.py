"""The command line: every command is a call to :mod:`workbench.workflow` and a print.

A user's mistake ends with exit code 2 and one sentence on standard error. ``--json`` prints one JSON object on
standard output and nothing else there. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from workbench import __version__, workflow
from workbench.errors import SettingsError, WorkbenchError
from workbench.paths import data_root
from workbench.progress import Progress, silent

Difficulty = Literal["easy", "7T-like"]
Theme = Literal["light", "dark"]
OnError = Literal["stop", "leave out"]

app = typer.Typer(
    name="workbench",
    help="Deep learning in medical image analysis (Shen, Wu, Suk 2017). Research use only, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
CohortOption = Annotated[
    str, typer.Option("--cohort", "-c", help="A cohort's folder, its cohort.csv, or its name in the data folder.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A setting as key=value; the value is read as JSON where it can be.")
]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake becomes one sentence and exit code 2."""
    try:
        app(args=arguments)
    except WorkbenchError as error:
        print(f"workbench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("workbench: interrupted.", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:  # noqa: BLE001  a fault of ours: one sentence for the user, the report for the log
        print(
            f"workbench: an unexpected {type(error).__name__} ended this; {_log_fault()} holds the report.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None


def _log_fault() -> Path:
    file = data_root() / "faults.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as log:
        log.write(
            f"{time.strftime('%Y-%m-%d %H:%M:%S')}  workbench {' '.join(sys.argv[1:])}\n{traceback.format_exc()}\n"
        )
    return file


@app.command("list")
def list_systems(as_json: Json = False) -> None:
    """List systems and model families: name, section, reference, kind, title."""
    cards = workflow.list_systems()
    if as_json:
        _print({"systems": [c.to_dict() for c in cards]})
        return
    for card in cards:
        print(f"{card.name:<14} {card.section or '–':<6} {card.kind:<12} {card.title}")


@app.command()
def phantom(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(workflow.PHANTOM_KINDS)}.")],
    out: Annotated[Path, typer.Argument(help="The cohort's new folder.")],
    subjects: Annotated[int | None, typer.Option(help="How many; each kind has its own number.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.", min=0)] = 0,
    spacing: Annotated[float | None, typer.Option(help="Voxel size of a brain in mm.", min=1, max=8)] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Of a brain: `easy` or `7T-like`.")] = None,
    job: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
) -> None:
    """Make a cohort whose truth is known."""
    with _job(job, as_json) as (progress, done):
        cohort = workflow.make_phantom(
            kind, out, n_subjects=subjects, seed=seed, spacing_mm=spacing, difficulty=difficulty, progress=progress
        )
        done(cohort)
    _report(cohort, as_json)


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="A BIDS tree, a dataset.json folder, DICOM, a zip, a folder of files or a file.")
    ],
    out: Annotated[Path, typer.Argument(help="The cohort's new folder.")],
    link: Annotated[bool, typer.Option("--link", help="Link large files in instead of copying them.")] = False,
    discard: Annotated[bool, typer.Option("--discard", hidden=True)] = False,
    job: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
) -> None:
    """Import images into a cohort."""
    try:
        with _job(job, as_json) as (progress, done):
            cohort = workflow.import_cohort(source, out, link=link, progress=progress)
            done(cohort)
    finally:
        if discard:
            workflow.discard_upload(source)
    _report(cohort, as_json)


@app.command()
def regions(
    cohort: Annotated[str, typer.Argument(help="A cohort whose series are 4-D images.")],
    atlas: Annotated[
        str,
        typer.Argument(
            help="A label image, or `power`, `dosenbach` or `seitzman`. With --voxels a mask: `gm` or `brain` (MNI), "
            "`epi` (found in the images), or an image."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The new cohort's folder.")],
    names: Annotated[Path | None, typer.Option(help="Table of label value, name and, if it likes, network.")] = None,
    radius: Annotated[float, typer.Option(help="Of spheres around coordinates, in mm.", min=1, max=30)] = 5.0,
    voxels: Annotated[
        float | None, typer.Option(help="Extract voxels of this edge in mm instead of regions.", min=2, max=20)
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Atlas that names the networks of voxels; else the cohort's own.")
    ] = None,
    tr: Annotated[float | None, typer.Option(help="Repetition time in s where headers do not know it.")] = None,
    on_error: Annotated[OnError, typer.Option(help="What happens when a subject fails.")] = "stop",
    changes: Settings = None,
    job: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
) -> None:
    """Turn 4-D images into time series of regions or voxels; --set takes the cleaning, such as low_pass_hz=0.08."""
    with _job(job, as_json) as (progress, done):
        cohort_of_regions = workflow.extract_regions(
            cohort, atlas, out, names=names, radius_mm=radius, voxel_mm=voxels, reference=reference,
            cleaning=_settings(changes), tr_s=tr, on_error=on_error, progress=progress,
        )  # fmt: skip
        done(cohort_of_regions)
    _report(cohort_of_regions, as_json)


@app.command()
def inspect(cohort: Annotated[str, typer.Argument(help="A cohort's folder or name.")], as_json: Json = False) -> None:
    """Show a cohort's fingerprint: shapes, spacings, intensities, labels, what is missing."""
    data = workflow.open_cohort(cohort)
    found = workflow.inspect(data, progress=_bar(as_json))
    if as_json:
        _print(found.to_dict())
    else:
        print(workflow.describe_fingerprint(found))
        if any(subject.features for subject in data):
            print("\n".join(workflow.describe_tables(data)))


@app.command()
def train(
    system: Annotated[str, typer.Argument(help="A name from `workbench list`.")] = "",
    cohort: CohortOption = "",
    changes: Settings = None,
    preset: Annotated[str, typer.Option(help="Start from this preset instead of the published settings.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="The settings that train in seconds on a phantom.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, sampling and noise.")] = None,
    run: Annotated[Path | None, typer.Option(help="Train what this run folder says.", hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Train a system on a cohort; the result is a run folder."""
    if run is not None:
        trained = workflow.train_run(run, in_turn=True)
    elif not system or not cohort:
        raise SettingsError("Say what to train on what: workbench train SYSTEM --cohort COHORT.")
    else:
        values = _settings(changes) | ({} if seed is None else {"seed": seed})
        trained = workflow.train(system, cohort, values, preset="quick" if quick else preset)
    _print_run(trained, as_json)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="A run's folder or name.")],
    extend: Annotated[int, typer.Option(help="Add this many epochs to the last stage.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped or lost, or extend a finished one."""
    _print_run(workflow.resume_here(_run(run), extend=extend), as_json)


@app.command()
def experiment(
    system: Annotated[str, typer.Argument(help="A name from `workbench list`.")] = "",
    cohort: CohortOption = "",
    vary: Annotated[list[str] | None, typer.Option(help="key=value,value: a variant for each value.")] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="name:key=value,key=value; the first is the reference.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds each variant is trained with.", min=1)] = 10,
    labels: Annotated[str, typer.Option(help="Numbers of labels to learn from, such as 100,1000,0; 0 for all.")] = "0",
    changes: Settings = None,
    preset: Annotated[str, typer.Option(help="Start from this preset instead of the published settings.")] = "",
    title: Annotated[str, typer.Option(help="What it is about.")] = "",
    resume: Annotated[str, typer.Option(help="Go on with this experiment: its folder or name.")] = "",
    run: Annotated[Path | None, typer.Option(help="Train what this folder says.", hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Train variants of a system on the same seeds and compare them; Ctrl-C saves, --resume goes on."""
    if run is None and not resume and not (system and cohort):
        raise SettingsError("Say what to vary on what: workbench experiment SYSTEM --cohort COHORT --vary KEY=A,B.")
    found: str | Path = run or _run(resume)
    if run is None and not resume:
        found = workflow.new_experiment(
            system, cohort, workflow.parse_variants(vary or [], variant or []), base=_settings(changes), seeds=seeds,
            n_labels=workflow.parse_numbers(labels), preset=preset, title=title,
        ).folder  # fmt: skip
    ended = workflow.run_experiment(found, _bar(as_json), launched=run is not None)
    _print_experiment(ended, as_json)


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A run's folder or name.")],
    cohort: CohortOption,
    out: Annotated[Path, typer.Option(help="The new folder of the predictions.")],
    as_json: Json = False,
) -> None:
    """Apply a trained run to a cohort; results lie on the lattice of their input."""
    written = workflow.predict(_run(run), cohort, out, progress=_bar(as_json))
    _print({"run": run, "predictions": [str(p) for p in written]}) if as_json else print(
        f"{len(written)} predictions in {out}"
    )


@app.command()
def segment(
    run: Annotated[str, typer.Argument(help="A run's folder or name.")],
    cohort: CohortOption,
    subject: Annotated[list[str] | None, typer.Option(help="Whom to label; everybody without it.")] = None,
    job: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
) -> None:
    """Label every voxel of subjects; the answers and their scores are kept in the run's folder, for the app."""
    with _job(job, as_json) as (progress, done):
        names = workflow.segment_many(_run(run), cohort, subject, progress)
        done(f"{len(names)} subjects")
    scores = workflow.segmentation_scores(_run(run), cohort) or {"subjects": {}, "summary": {}}
    if as_json:
        _print({"run": run, "segmented": names, **scores})
        return
    for structure, row in scores["summary"].items():
        mean, low, high = row["dice"]
        print(f"Dice of {structure}: {mean:.3f}" + (f" ({low:.3f} to {high:.3f})" if low == low else ", one subject"))


@app.command("register")
def register_(
    fixed: Annotated[str, typer.Argument(help="The image whose space results have: a file, or a subject.")],
    moving: Annotated[str, typer.Argument(help="The image that is brought onto it: a file, or a subject.")],
    method: Annotated[str, typer.Option(help="How; an unknown name lists the known ones.")] = "hammer-patches",
    cohort: Annotated[str, typer.Option("--cohort", "-c", help="Whose subjects are meant; without it, files.")] = "",
    run: Annotated[str, typer.Option(help="A trained run whose features drive the method.")] = "",
    modality: Annotated[str, typer.Option(help="Of the fixed image; its first without it.")] = "",
    moving_modality: Annotated[str, typer.Option(help="Of the moving image, where it is another one.")] = "",
    fixed_label: Annotated[str, typer.Option(help="Label map of a fixed file.")] = "",
    moving_label: Annotated[str, typer.Option(help="Label map of a moving file.")] = "",
    out: Annotated[Path | None, typer.Option(help="A new folder; without it the data folder keeps the result.")] = None,
    changes: Settings = None,
    job: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
) -> None:
    """Bring one image onto another: warped image, displacement fields both ways, Jacobian, Dice of labels."""
    plan = workflow.RegistrationPlan(
        cohort, fixed, moving, method, modality, moving_modality, run, _settings(changes), fixed_label, moving_label
    )
    with _job(job, as_json) as (progress, done):
        if out is None:
            done(made := workflow.register(plan, progress))
            record = workflow.open_registration(made).record
        else:
            done(workflow.write_registration(plan, out, progress))
            made, record = str(out), json.loads((out / "registration.json").read_text(encoding="utf-8"))
    if as_json:
        _print({"registration": made, **record})
        return
    print(
        f"{record['method']}: {made}, {record['seconds']:.1f} s, folded {100 * record['folded_share']:.2g} % of voxels"
    )
    for name, dice in record["dice"].items():
        print(f"Dice of {name}: {dice:.3f}, {record['dice_before'][name]:.3f} after the linear part alone")
    for note in record["notes"]:
        print(note)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run's folder or name.")], cohort: CohortOption, as_json: Json = False
) -> None:
    """Score a trained run on a cohort, by subject and in summary with 95 % intervals."""
    scores = workflow.evaluate(_run(run), cohort, progress=_bar(as_json))
    if as_json:
        _print(scores)
        return
    for name, (mean, low, high) in scores["summary"].items():
        interval = "one subject allows no interval" if low is None else f"95 % interval {low:.4g} to {high:.4g}"
        print(f"{name:<24} {mean:<10.4g} {interval}")


@app.command()
def figure(
    run: Annotated[str, typer.Argument(help="A run's folder or name.")],
    name: Annotated[str, typer.Argument(help="Which figure; an unknown name lists the known ones.")],
    out: Annotated[Path, typer.Option(help="A .html or .png file.")],
    theme: Annotated[Theme, typer.Option(help="`light` or `dark`.")] = "light",
) -> None:
    """Draw a figure of a run into a file."""
    print(workflow.save_figure(_run(run), name, out, theme=theme))


@app.command("app")
def open_app() -> None:
    """Open the app in a browser: the same as `streamlit run`."""
    raise SystemExit(workflow.open_app())


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deep learning in medical image analysis (Shen, Wu, Suk 2017). Research use only, not for diagnosis."""


def _run(text: str) -> str | Path:
    """Tell a run's folder from its id."""
    return Path(text) if "/" in text or "\\" in text or Path(text).is_dir() else text


def _settings(pairs: list[str] | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {pair!r}: write it as key=value, for example --set patch_size=11.")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2, default=str))


def _held(cohort: Any) -> list[str]:
    """Name what the subjects of a cohort have: images, series, tables."""
    tables = dict.fromkeys(name for subject in cohort for name in subject.features)
    series = ["series"] if any(subject.series for subject in cohort) else []
    return [*cohort.modalities, *series, *(f"features:{name}" for name in tables)]


def _report(cohort: Any, as_json: bool) -> None:
    facts = {"cohort": str(cohort.path), "subjects": len(cohort), "modalities": cohort.modalities}
    _print(facts) if as_json else print(
        f"{facts['subjects']} subjects with {', '.join(_held(cohort)) or 'nothing to learn from'} in {cohort.path}"
    )


def _print_run(run: Any, as_json: bool) -> None:
    state = run.status().state
    _print({"run": str(run.folder), "state": state}) if as_json else print(f"{state}: {run.folder}")
    if state == "failed":
        raise WorkbenchError(run.status().message)


def _print_experiment(ended: Any, as_json: bool) -> None:
    far = workflow.experiment_progress(ended.folder)
    facts = {"experiment": str(ended.folder), "state": far.state, "trainings": far.n_trainings, "done": far.n_done}
    facts |= {"failed": far.n_failed, "results": str(ended.folder / "results.csv")}
    if as_json:
        _print(facts)
        return
    print(f"{far.state}: {far.n_done} of {far.n_trainings} trainings, {far.n_failed} failed, in {ended.folder}")
    for score in ended.scores if len(ended.variants) > 1 else ():
        found = workflow.compare_experiment(ended.folder, score)
        for row in found.rows:
            where = f"{row.n_labels} labels, " if row.n_labels else ""
            print(
                f"  {score}: {row.variant} - {found.reference} = {row.difference.mean:+.4g} "
                f"({row.difference.low:+.4g} to {row.difference.high:+.4g}; {where}{row.n_pairs} seeds)"
            )


@contextmanager
def _job(job: str, quiet: bool) -> Iterator[tuple[Progress, Callable[[Any], None]]]:
    """Give a progress callable and what to call with the cohort at the end; tells the page's job when there is one."""
    if not job:
        yield _bar(quiet), lambda cohort: None
        return
    try:
        yield (
            workflow.job_progress(job),
            lambda made: workflow.end_job(job, result=made if isinstance(made, str) else str(made.path.parent)),
        )
    except WorkbenchError as error:
        workflow.end_job(job, error=str(error))
        raise
    except Exception:
        workflow.end_job(job, error="It ended by an unexpected error; its log in the data folder holds the report.")
        raise


def _bar(quiet: bool) -> Progress:
    """Give a progress callable that draws on standard error, and only on a terminal."""
    if quiet or not sys.stderr.isatty():
        return silent

    def draw(fraction: float, message: str) -> None:
        print(
            f"\r\033[K{100 * fraction:3.0f} %  {message[:90]}",
            end="\n" if fraction >= 1 else "",
            file=sys.stderr,
            flush=True,
        )

    return draw
