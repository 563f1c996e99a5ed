"""The notebooks of Section 3.1 run to their end with the quick settings, and their facts hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebook_runs import of_part, run_to_its_end

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("script", of_part("3.1"), ids=lambda path: path.stem)
def test_notebook_runs_to_its_end(script: Path, data_root: Path) -> None:
    run_to_its_end(script, data_root)
