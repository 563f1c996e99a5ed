import subprocess
import sys

import numpy as np
import pytest

from workbench.imaging.volume import Volume

OBLIQUE = np.array([[2.0, 0.5, 0, 10], [-0.5, 2.0, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


def test_an_array_of_three_axes_gets_one_channel_of_float32():
    volume = Volume.from_array(np.ones((2, 3, 4), np.int16))
    assert volume.data.shape == (1, 2, 3, 4) and volume.data.dtype == np.float32
    assert volume.shape == (2, 3, 4) and volume.spacing == (1.0, 1.0, 1.0)


def test_mm_and_voxels_are_inverse():
    volume = Volume.from_array(np.zeros((4, 5, 6)), OBLIQUE)
    points = np.random.default_rng(0).normal(size=(7, 3))
    assert np.allclose(volume.to_voxels(volume.to_mm(points)), points, atol=1e-12)
    assert np.allclose(volume.to_mm(np.array([1, 0, 0])), [12.0, -20.5, 30.0])


def test_digest_tells_voxels_and_places_apart():
    a, b = np.zeros((2, 2, 2)), np.ones((2, 2, 2))
    digests = {Volume.from_array(a).digest, Volume.from_array(b).digest, Volume.from_array(a, OBLIQUE).digest}
    assert len(digests) == 3 and Volume.from_array(a).digest == Volume.from_array(a.copy()).digest


def test_wrong_shapes_are_a_programmer_error():
    with pytest.raises(ValueError, match=r"\(C, X, Y, Z\)"):
        Volume(np.zeros((2, 2)), np.eye(4))
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        Volume(np.zeros((1, 2, 2, 2)), np.eye(3))


def test_importing_the_readers_loads_no_file_format():
    code = (
        "import sys, workbench.imaging.cohort, workbench.imaging.files, workbench.imaging.geometry, "
        "workbench.imaging.intensity;"
        "print([m for m in ('nibabel', 'pydicom', 'SimpleITK', 'PIL', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
