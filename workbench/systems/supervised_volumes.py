"""A network that classifies patches, at every voxel of a mask: a label map on the subject's own lattice."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from workbench.imaging.geometry import resample_like
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.patches.gather import gather
from workbench.systems.examples_base import Record

N_AT_ONCE = 2048


def label_map(network: nn.Module, record: Record, subject: Subject) -> Volume:
    """Give the label of every voxel inside the mask, and 0 elsewhere; or the predicted number.

    Patch by patch, which is exact for every network, those with padding included.
    """
    assert record.targets is not None
    volume, mask = record.source.prepared(subject)
    centers = np.argwhere(mask)
    size = (*record.shape[1:], 1)[:3]
    values = np.empty(len(centers), np.float32)
    wanted = np.array(record.label_values or range(len(record.targets.classes)), np.float32)
    for begin in range(0, len(centers), N_AT_ONCE):
        here = slice(begin, begin + N_AT_ONCE)
        patches = torch.from_numpy(gather(volume.data, centers[here], size)).reshape(-1, *record.shape)
        with torch.no_grad():
            outputs = network(record.scaling.apply(patches))
        values[here] = (
            wanted[outputs.argmax(1).numpy()] if record.targets.classes else record.targets.decode(outputs.numpy())
        )
    dense = np.zeros((1, *volume.shape), np.float32)
    dense[0, mask] = values
    original = subject.volume(record.source.modalities[0])
    return resample_like(volume.with_data(dense, "label"), original, order=0)
