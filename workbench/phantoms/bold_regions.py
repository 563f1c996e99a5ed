"""Regions of real anatomy for planted networks: coordinates in MNI space with the names of their networks.

The first 300 regions are those of Seitzman et al. (2020), NeuroImage 206:116290, which nilearn ships with their
networks; further ones are those of Power et al. (2011), Neuron 72:665-678, that lie farthest from them, whose networks
nilearn does not name. Eight networks are planted, each on exactly the regions that the table names so: six of the
cortex, the subcortical nuclei and the cerebellum, as in Figure 10's left column.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from workbench.imaging.region_table import RegionTable

PLANTED = (
    "DefaultMode",
    "FrontoParietal",
    "CinguloOpercular",
    "Visual",
    "SomatomotorDorsal",
    "DorsalAttention",
    "Subcortical",
    "Cerebellum",
)
MIDLINE_MM = 4.0


def planted_members(table: RegionTable) -> np.ndarray:
    """Give the index among :data:`PLANTED` of each region's network, (R,) int, -1 for any other."""
    return np.array([PLANTED.index(n) if n in PLANTED else -1 for n in table.networks])


@lru_cache(maxsize=4)
def real_regions(n_regions: int) -> RegionTable:
    """Choose regions, called such as ``DefaultMode L 3``: a ninth for each planted network if it has them, and others.

    Args:
        n_regions: R, 16 to 500.
    """
    coordinates, networks = _all_regions()
    size = max(2, round(n_regions / (len(PLANTED) + 1)))
    if size * len(PLANTED) > n_regions:
        size -= 1
    planted = [np.flatnonzero(networks == name)[:size] for name in PLANTED]
    others = np.flatnonzero(~np.isin(networks, PLANTED))
    n_others = n_regions - sum(map(len, planted))
    chosen = np.concatenate([*planted, others[:n_others]])
    names, count = [], dict.fromkeys([*networks[chosen]], 0)
    for (x, _, _), network in zip(coordinates[chosen], networks[chosen], strict=True):
        count[network] += 1
        side = "M" if abs(x) < MIDLINE_MM else "L" if x < 0 else "R"
        names.append(f"{network or 'Region'} {side} {count[network]}")
    return RegionTable(tuple(names), coordinates[chosen].astype(np.float32), tuple(str(n) for n in networks[chosen]))


def _all_regions() -> tuple[np.ndarray, np.ndarray]:
    """Read (R, 3) coordinates in mm and (R,) networks; those that are not planted last, nameless ones at the end."""
    from nilearn import datasets  # takes seconds to import

    seitzman = datasets.fetch_coords_seitzman_2018()
    places = np.asarray(seitzman.rois, float)
    parts = np.array(
        [
            "Cerebellum" if part == "cerebellum" else network if part.startswith("cortex") else "Subcortical"
            for part, network in zip(seitzman.regions, seitzman.networks, strict=True)
        ]
    )
    named = parts != "unassigned"
    power = np.asarray(datasets.fetch_coords_power_2011().rois[["x", "y", "z"]], float)
    distance = np.linalg.norm(power[:, None] - places, axis=-1).min(axis=1)
    power = power[np.argsort(-distance, kind="stable")]
    coordinates = np.concatenate([places[named], places[~named], power])
    return coordinates, np.concatenate([parts[named], np.full(len(coordinates) - named.sum(), "")])
