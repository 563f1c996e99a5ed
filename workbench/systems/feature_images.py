"""From a subject's file to the image that a patch encoder sees: one channel, cubic voxels, 0 to 1 in a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter, gaussian_gradient_magnitude, label
from skimage.filters import threshold_otsu

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import require_3d
from workbench.imaging.geometry import resample, resample_like
from workbench.imaging.intensity import correct_bias, match_histogram, rescale
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.patches.gather import gather
from workbench.patches.prepared import Prepared
from workbench.patches.samplers import weighted

N_QUANTILES = 4096
PERCENTILES = (0.5, 99.5)
FWHM_PER_SIGMA = 2.3548
BACKGROUND_SHARE = 0.05
FEATURES_NEED = "features are learnt from 3-D images; choose another modality."
DARK_BORDER = 0.1  # of the border may be bright: a neck leaves the image


@dataclass(frozen=True)
class ImagePreparation:
    """What is done to every image before patches are taken.

    Attributes:
        modality: which image; empty takes a subject's first.
        spacing_mm: edge of the voxels that images are resampled to; 0 keeps theirs.
        bias_correction: whether N4 comes first.
        by_gradient: whether patches are to be sampled where the gradient is large.
        dimensions: of the patches, 2 or 3.
    """

    modality: str
    spacing_mm: float
    bias_correction: bool
    by_gradient: bool
    dimensions: int

    def modality_of(self, subject: Subject) -> str:
        """Give the modality that is taken from a subject.

        Raises:
            CohortError: the subject does not have it.
        """
        name = self.modality or next(iter(subject.images), "")
        if name not in subject.images:
            known = ", ".join(subject.images) or "no image at all"
            raise CohortError(
                f"Subject {subject.name} has no {name or 'image'}; it has {known}. "
                "Choose another modality or leave the subject out."
            )
        return name

    def image(
        self, subject: Subject, quantiles: np.ndarray | None = None, *, whole: bool = False
    ) -> tuple[Volume, np.ndarray]:
        """Read and prepare one image.

        Args:
            subject: whose.
            quantiles: intensities to match, from :meth:`quantiles` of the reference subject; None matches nothing.
            whole: take every voxel for anatomy, whatever mask there is.

        Returns:
            The image, 0 to 1 and 0 outside the mask, and the mask (X, Y, Z) bool.

        Raises:
            CohortError: several channels or time points in three dimensions, or an empty mask.
            GeometryError: a picture or a single slice, and patches of three dimensions.
        """
        volume = one_channel(subject.volume(self.modality_of(subject)), subject.name, FEATURES_NEED)
        if self.dimensions == 3:
            require_3d(volume, f"Learning from cubes (the setting dimensions = 3) for subject {subject.name}")
        mask = np.ones(volume.shape, bool) if whole else subject.mask_array(volume)
        mask = foreground(volume.data[0]) if mask is None else mask
        if self.bias_correction and not volume.is_picture:
            volume = correct_bias(volume, mask)
        volume, mask = to_cubes(volume, mask, self.spacing_mm)
        if not mask.any():
            raise CohortError(f"The mask of subject {subject.name} is empty; draw it again or leave the subject out.")
        image = rescale(volume, *PERCENTILES, mask).data[0]
        if quantiles is not None:
            matched = match_histogram(_as_column(image[mask]), _as_column(quantiles), has_background=False)
            image[mask] = np.clip(matched.data.ravel(), 0, 1)
        return volume.with_data(np.where(mask, image, 0)), mask

    def quantiles(self, subject: Subject) -> np.ndarray:
        """Give the quantiles of a subject's intensities: enough to match others to it, and no image of anybody."""
        volume, mask = self.image(subject)
        return np.quantile(volume.data[0][mask], np.linspace(0, 1, N_QUANTILES)).astype(np.float32)

    def weights(self, volume: Volume, mask: np.ndarray) -> np.ndarray | None:
        """Give how likely a patch is centered at each voxel (X, Y, Z), by gradient magnitude; None for evenly."""
        if not self.by_gradient:
            return None
        sigma = [1.0 if n > 1 else 0.0 for n in volume.shape]
        return (gaussian_gradient_magnitude(volume.data[0], sigma) + 1e-6) * mask

    def prepared(self, subject: Subject, quantiles: np.ndarray | None) -> Prepared:
        """Give what the patch store keeps of a subject."""
        volume, mask = self.image(subject, quantiles)
        return Prepared(volume.data, mask, weights=self.weights(volume, mask), affine=volume.affine)


@dataclass(frozen=True)
class PatchPreview:
    """Patches as training would see them.

    Attributes:
        patches: (n, C, X, Y, Z) or (n, C, *spatial), before the network's own normalization.
        subjects: (n,) names.
        centers_mm: (n, 3); None for examples that are not cut from a larger image.
    """

    patches: np.ndarray
    subjects: list[str]
    centers_mm: np.ndarray | None


def preview_patches(
    preparation: ImagePreparation, cohort: Cohort, n: int, size: tuple[int, int, int], matched: bool, seed: int
) -> PatchPreview:
    """Draw n patches (n, C, *size) of a cohort's first two subjects, as training would see them."""
    shown = list(cohort)[:2]
    quantiles = preparation.quantiles(shown[0]) if matched else None
    patches, names, places = [], [], []
    for i, subject in enumerate(shown):
        volume, mask = preparation.image(subject, quantiles)
        weights = preparation.weights(volume, mask)
        centers = weighted(mask if weights is None else weights, n // len(shown), np.random.default_rng([seed, i]))
        patches.append(gather(volume.data, centers, size))
        names += [subject.name] * len(centers)
        places.append(volume.to_mm(centers))
    return PatchPreview(np.concatenate(patches), names, np.concatenate(places))


def foreground(image: np.ndarray) -> np.ndarray:
    """Tell anatomy (X, Y, Z) from background in an image that came without a mask.

    Where a twentieth or more lies at the minimum, as after skull stripping, it is what lies above. Else, where nearly
    all of the image's border is dark, as around a head, it is the largest bright piece (Otsu's threshold) with its
    holes filled. Else, as in a crop, it is everything.
    """
    above = image > image.min()
    if has_background(image):
        return above
    if not above.any():
        return np.ones(image.shape, bool)
    threshold = threshold_otsu(image.ravel())
    ends = [np.take(image, (0, -1), axis).ravel() for axis in range(3) if image.shape[axis] > 1]
    bright = image > threshold
    if (np.concatenate(ends) > threshold).mean() > DARK_BORDER or not bright.any():
        return np.ones(image.shape, bool)
    pieces, _ = label(bright)
    return binary_fill_holes(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def has_background(image: np.ndarray) -> bool:
    """Say whether a twentieth or more of an image lies at its minimum, as after skull stripping."""
    return bool(BACKGROUND_SHARE <= (image == image.min()).mean() < 1)


def one_channel(volume: Volume, name: str, otherwise: str) -> Volume:
    """Give the image of one modality (1, X, Y, Z); the colors of a picture are averaged.

    Args:
        volume: as it was read.
        name: of the subject, for the message.
        otherwise: what the message says of several channels.

    Raises:
        CohortError: several channels or time points in three dimensions.
    """
    if volume.n_channels == 1:
        return volume
    if volume.is_picture:
        return volume.with_data(volume.data[:3].mean(0))
    raise CohortError(
        f"The {volume.modality} image of {name} has {volume.n_channels} time points or channels, and {otherwise}"
    )


def to_cubes(volume: Volume, mask: np.ndarray, edge_mm: float) -> tuple[Volume, np.ndarray]:
    """Resample an image (C, X, Y, Z) and its mask (X, Y, Z) to cubes; pictures, and an edge of 0, keep their own.

    Coarser voxels are averages of finer ones: it smooths by what is missing, or details would alias.
    """
    if not edge_mm or volume.is_picture or np.allclose(volume.spacing, edge_mm, rtol=1e-3):
        return volume, mask
    sigma = [np.sqrt(max(0.0, edge_mm**2 - s**2)) / FWHM_PER_SIGMA / s for s in volume.spacing]
    smooth = volume.with_data(np.stack([gaussian_filter(channel, sigma) for channel in volume.data]))
    coarse = resample(smooth, (edge_mm, edge_mm, edge_mm))
    where = volume.with_data(mask.astype(np.float32))
    return coarse, resample_like(where, coarse).data[0] > 0.5


def _as_column(values: np.ndarray) -> Volume:
    """Lay values (n,) out as an image with that histogram, which is all that matching looks at."""
    return Volume.from_array(values.reshape(-1, 1, 1))
