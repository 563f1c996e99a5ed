"""The one door that the command line, the pages and the notebooks use.

Each function takes names, paths and plain values and gives cohorts, runs, volumes or views to be drawn; what it does is
written in ``doors/``. Libraries that are slow to import are imported by the functions that need them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workbench.doors.cohorts import (
    PHANTOM_KINDS,
    PHANTOM_SIZES,
    delete_cohort,
    describe_fingerprint,
    discard_upload,
    feature_tables,
    import_cohort,
    import_uploads,
    inspect,
    label_names,
    list_broken_cohorts,
    list_cohorts,
    load_overlay,
    load_volume,
    make_phantom,
    make_split,
    nifti_bytes,
    open_cohort,
    save_split,
    start_import,
    start_phantom,
    start_upload,
)
from workbench.doors.experiments import (
    ExperimentProgress,
    PairedRow,
    PairedTable,
    compare_experiment,
    delete_experiment,
    experiment_progress,
    list_experiments,
    new_experiment,
    open_experiment,
    resume_experiment,
    run_experiment,
    start_experiment,
    stop_experiment,
)
from workbench.doors.runs import (
    RunId,
    compare,
    delete_run,
    export_run,
    launch,
    list_runs,
    open_run,
    recover,
    resume,
    resume_here,
    stop,
    system_of,
    train,
    train_run,
)
from workbench.doors.systems import check_settings, estimate, list_systems, system_fields, system_presets
from workbench.doors.variants import parse_numbers, parse_variants
from workbench.doors.views import (
    clamp_and_sample,
    convolution_parts,
    encoder_decoder,
    evaluate,
    example_columns,
    figure,
    figure_names,
    filters,
    generate,
    generation_choices,
    likelihood,
    network_parts,
    noise_curves,
    predict,
    prepare_similarity,
    preview_patches,
    reconstructions,
    save_figure,
    shows,
    similarity,
    two_blocks,
)
from workbench.errors import RunError
from workbench.runs.archive import Comparison
from workbench.runs.job import Job, cancel_job, end_job, job_progress, read_job

__all__ = [
    "PHANTOM_KINDS",
    "PHANTOM_SIZES",
    "Comparison",
    "ExperimentProgress",
    "Job",
    "PairedRow",
    "PairedTable",
    "RunId",
    "cancel_job",
    "check_settings",
    "clamp_and_sample",
    "compare",
    "compare_experiment",
    "convolution_parts",
    "delete_cohort",
    "delete_experiment",
    "delete_run",
    "describe_fingerprint",
    "discard_upload",
    "encoder_decoder",
    "end_job",
    "estimate",
    "evaluate",
    "example_columns",
    "experiment_progress",
    "export_run",
    "feature_tables",
    "figure",
    "figure_names",
    "filters",
    "generate",
    "generation_choices",
    "import_cohort",
    "import_uploads",
    "inspect",
    "job_progress",
    "label_names",
    "launch",
    "likelihood",
    "list_broken_cohorts",
    "list_cohorts",
    "list_experiments",
    "list_runs",
    "list_systems",
    "load_overlay",
    "load_volume",
    "make_phantom",
    "make_split",
    "network_parts",
    "new_experiment",
    "nifti_bytes",
    "noise_curves",
    "open_app",
    "open_cohort",
    "open_experiment",
    "open_run",
    "parse_numbers",
    "parse_variants",
    "predict",
    "prepare_similarity",
    "preview_patches",
    "read_job",
    "reconstructions",
    "recover",
    "resume",
    "resume_experiment",
    "resume_here",
    "run_experiment",
    "save_figure",
    "save_split",
    "shows",
    "similarity",
    "start_experiment",
    "start_import",
    "start_phantom",
    "start_upload",
    "stop",
    "stop_experiment",
    "system_fields",
    "system_of",
    "system_presets",
    "train",
    "train_run",
    "two_blocks",
]


def open_app() -> int:
    """Run the app until it is closed; give the server's exit code.

    Raises:
        RunError: the app's files are not beside the package.
    """
    entry = Path(__file__).resolve().parents[1] / "streamlit_app.py"
    if not entry.is_file():
        raise RunError(
            "The app's pages are not installed with the package; run `make app` or `streamlit run` in the checkout."
        )
    return subprocess.call([sys.executable, "-m", "streamlit", "run", str(entry)], cwd=entry.parent)
