"""What the words at the end of file names mean: ``1000_T1`` is a T1 image, ``1000_seg`` its label map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "label", "mask", "points", "series"]

# As they are spelled in a cohort; looked up without regard to letter case.
IMAGES = """
    image img T1 T1w T1c T1ce T1Gd T1post T1n T1map T1rho T2 T2w T2f T2star FLAIR PD PDw IR STIR SWI QSM
    DWI ADC TRACE FA MD CBF CBV ASL MTT PWI MRA MR MRI CT CTA CBCT NCCT LDCT HDCT PET FDG PIB AV45 SUV SPECT US TRUS
    SS brainimage anat orig native norm nu fixed moving phase magnitude mag GRE EPI b0 mammo CC MLO OCT fundus xray CXR
    HE IHC DAPI
"""
# The one named first becomes the column ``label`` where a subject has several.
LABELS = """
    label labels labelmap seg segmentation segm dseg manual expert gt groundtruth truth annotation annotations
    tissue tissues lesion lesions tumor tumour nodule nodules wmh aseg aparc aparc+aseg wmparc glm parc parcellation
    regions atlas DLMUSE muse instances roi organ organs votes
"""
MASKS = "mask masks msk brain brainmask bet body fov foreground"
POINTS = "points landmarks markers centers centroids"
SERIES = "series bold fmri rest timeseries roits func"

# Of images these do not tell what was measured, so that a 4-D one may be a series over time.
MUTE = ("image", "img", "EPI", "MR", "MRI", "native", "orig", "norm")

ALIASES = {
    "img": "image",
    "t1 post": "T1post",
    "t1 gd": "T1Gd",
    "t1 ce": "T1ce",
    "t1 c": "T1c",
    "brain mask": "brainmask",
    "ground truth": "groundtruth",
    "x ray": "xray",
    "skull stripped": "SS",
    "skullstripped": "SS",
}


@dataclass(frozen=True)
class Role:
    """What a file is to its subject.

    Attributes:
        kind: which kind of column it fills.
        name: the modality, or the word by which the label map or mask is known.
        rank: among several of one kind, the lowest takes the plain column.
    """

    kind: Kind
    name: str
    rank: int = 0


def role_of(word: str) -> Role | None:
    """Give the role that a word stands for, or None if it is not known."""
    key = re.sub(r"[\s._-]+", " ", word).strip().lower()
    return _KNOWN.get(ALIASES.get(key, key).lower())


def split_role(name: str) -> tuple[str, Role] | None:
    """Split ``pat3_T1_post`` into ``("pat3", T1post)``; None if no known word ends the name.

    Two words that mean something together are tried before the last word alone. A name that is a known word as a
    whole has an empty head.
    """
    parts = re.split(r"([_\-. ])", name)  # words at even places, what separates them between
    for n_words in (2, 1):
        if len(parts) >= 2 * n_words - 1:
            role = role_of(" ".join(parts[-2 * n_words + 1 :][::2]))
            if role is not None:
                return "".join(parts[: -2 * n_words]), role
    return None


def folder_role(name: str) -> tuple[str, Role] | None:
    """Read the name of a folder of files of one role: ``labelsTr`` → ("", label), ``fixed_images`` → ("fixed", image)."""  # noqa: E501
    name = (
        re.sub(r"(?i)[_-]?(tr|ts|train|test|val)$", "", name) if re.match(r"(?i)(images|labels|masks)", name) else name
    )
    found = split_role(re.sub(r"(?i)(images|imgs)$", "image", re.sub(r"(?i)segmentations$", "segmentation", name)))
    if found is None or (found[0] and found[1].kind == "image" and found[1].name != "image"):
        return None
    return found


def _known() -> dict[str, Role]:
    kinds: dict[Kind, str] = {"image": IMAGES, "label": LABELS, "mask": MASKS, "points": POINTS, "series": SERIES}
    return {
        word.lower(): Role(kind, word, rank) for kind, words in kinds.items() for rank, word in enumerate(words.split())
    }


_KNOWN = _known()
