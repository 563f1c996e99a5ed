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
    delete_cohort,
    describe_fingerprint,
    discard_upload,
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
from workbench.doors.views import (
    encoder_decoder,
    evaluate,
    figure,
    figure_names,
    filters,
    predict,
    prepare_similarity,
    preview_patches,
    reconstructions,
    save_figure,
    similarity,
)
from workbench.errors import RunError
from workbench.runs.archive import Comparison
from workbench.runs.job import Job, cancel_job, end_job, job_progress, read_job

__all__ = [
    "PHANTOM_KINDS",
    "Comparison",
    "Job",
    "RunId",
    "cancel_job",
    "check_settings",
    "compare",
    "delete_cohort",
    "delete_run",
    "describe_fingerprint",
    "discard_upload",
    "encoder_decoder",
    "end_job",
    "estimate",
    "evaluate",
    "export_run",
    "figure",
    "figure_names",
    "filters",
    "import_cohort",
    "import_uploads",
    "inspect",
    "job_progress",
    "label_names",
    "launch",
    "list_broken_cohorts",
    "list_cohorts",
    "list_runs",
    "list_systems",
    "load_overlay",
    "load_volume",
    "make_phantom",
    "make_split",
    "nifti_bytes",
    "open_app",
    "open_cohort",
    "open_run",
    "predict",
    "prepare_similarity",
    "preview_patches",
    "read_job",
    "reconstructions",
    "recover",
    "resume",
    "resume_here",
    "save_figure",
    "save_split",
    "similarity",
    "start_import",
    "start_phantom",
    "start_upload",
    "stop",
    "system_fields",
    "system_of",
    "system_presets",
    "train",
    "train_run",
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
