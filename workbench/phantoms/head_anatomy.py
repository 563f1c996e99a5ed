"""The head around the MNI152 brain, drawn from shapes in atlas coordinates (mm, RAS, origin as in MNI space).

Outwards from the brain: CSF, dura with the sagittal and transverse sinuses, inner table, marrow and outer table of the
skull, a thin muscle layer, fat, skin. Below and in front: orbits with globe, lens, nerve and muscles; nose, turbinates
and air sinuses; zygoma, maxilla, mandible and teeth; tongue, pharynx; ears; neck with vertebrae, cord, muscles in fat.
Sizes are those of an adult to about half a centimeter; nothing of this is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from workbench.phantoms.painting import Canvas, blend, ellipsoid, sample, tube
from workbench.phantoms.template import load_template

HULL_MM = 3.0
CLOSING_MM = 12.0
CORD_TOP = (0.0, -43.0, -66.0)
SPINE = (0.0, -32.0)


@dataclass(frozen=True)
class HeadShape:
    """Thicknesses of one subject, mm.

    Attributes:
        csf: between brain hull and skull, (X, Y, Z) or a number, as the next ones.
        skull: both tables and the marrow.
        scalp: from skull to air.
        fat: the part of the scalp, and of the face, that is fat.
        mottle: (X, Y, Z), noise of unit variance that lays fat between muscles and air into bone.
    """

    csf: np.ndarray
    skull: np.ndarray
    scalp: np.ndarray
    fat: np.ndarray
    mottle: np.ndarray


@lru_cache(maxsize=1)
def hull_distance() -> tuple[np.ndarray, np.ndarray]:
    """Give the distance from the closed brain, mm, negative inside: (1, X, Y, Z) on 3 mm, and its affine."""
    template = load_template(HULL_MM)
    pad = 20
    brain = np.pad(template.fractions.sum(axis=0) > 0.5, pad)
    grown = distance_transform_edt(~brain) * HULL_MM <= CLOSING_MM
    closed = distance_transform_edt(grown) * HULL_MM > CLOSING_MM
    distance = distance_transform_edt(~closed) - distance_transform_edt(closed)
    affine = template.affine.copy()
    affine[:3, 3] -= pad * HULL_MM
    return gaussian_filter(distance * HULL_MM, 1.0).astype(np.float32)[None], affine


def paint_head(canvas: Canvas, shape: HeadShape) -> np.ndarray:
    """Paint everything but the brain; give the distance from the inner table, negative inside the skull."""
    hull = sample(*hull_distance(), canvas.points, extend=True)[0]
    inner = hull - shape.csf
    _soft_tissue(canvas, shape, inner)
    _neck(canvas)
    _skull(canvas, shape, inner)
    _face_bones(canvas, shape)
    _airways(canvas)
    for side in (-1.0, 1.0):
        _orbit(canvas, side)
    canvas.limit = None
    for side in (-1.0, 1.0):  # openings
        canvas.tube("air", (side * 62, -22, -41), (side * 100, -22, -41), 2.6)
        canvas.tube("air", (side * 6, 92, -72), (side * 6, 98, -80), 3.5)
    canvas.paint("dura", np.maximum(inner, 0.0 - hull))
    canvas.paint("CSF", inner + 1.2)
    _canal(canvas)
    _sinuses(canvas, hull, inner)
    return inner


def _outline(canvas: Canvas, shape: HeadShape, inner: np.ndarray) -> np.ndarray:
    """Give the distance from the skin."""
    p = canvas.points
    cranium = inner - shape.skull - shape.scalp
    face = ellipsoid(p, (0, 36, -66), (64, 54, 66))
    chin = ellipsoid(p, (0, 62, -108), (32, 32, 24))
    lips = ellipsoid(p, (0, 84, -92), (24, 14, 14))
    nose = blend(tube(p, (0, 88, -36), (0, 102, -62), 8.0), ellipsoid(p, (0, 98, -66), (16, 13, 10)), 8.0)
    jaw = blend(tube(p, (-54, -4, -78), (-26, 58, -104), 19.0), tube(p, (54, -4, -78), (26, 58, -104), 19.0), 4.0)
    neck = tube(p, (0, -40, -50), (0, -28, -200), 57.0)
    whole = blend(blend(cranium, neck, 34.0), blend(face, jaw, 16.0), 22.0)
    whole = blend(blend(whole, blend(chin, lips, 10.0), 14.0), nose, 14.0)
    for side in (-1.0, 1.0):
        ear = np.maximum(
            ellipsoid(p, (side * 87, -28, -38), (5, 17, 28)), -ellipsoid(p, (side * 91, -26, -38), (5, 11, 19))
        )
        whole = blend(whole, ear, 6.0)
    # the sockets of the eyes lie deeper than the brow
    for side in (-1.0, 1.0):
        whole = -blend(-whole, ellipsoid(p, (side * 33, 96, -38), (19, 14, 12)), 10.0)
    return whole


def _soft_tissue(canvas: Canvas, shape: HeadShape, inner: np.ndarray) -> None:
    skin = _outline(canvas, shape, inner)
    canvas.paint("skin", skin)
    canvas.limit = skin + 2.2
    canvas.paint("fat", skin + 2.2)
    muscle = skin + 2.2 + shape.fat
    canvas.paint("muscle", muscle)
    # thin sheets of fat between muscles, where the noise changes its sign
    sheets = np.clip(1 - 4 * np.abs(shape.mottle), 0, 1) * np.clip(-muscle / 4, 0, 1)
    canvas.paint_share("fat", 0.6 * sheets)
    for side in (-1.0, 1.0):
        canvas.ellipsoid("fat", (side * 47, 46, -70), (9, 17, 16))  # cheek
        canvas.ellipsoid("muscle", (side * 70, 20, -18), (9, 30, 34))  # temporalis
        canvas.tube("muscle", (side * 60, 14, -58), (side * 52, 10, -98), 8.0)  # masseter
        canvas.tube("muscle", (side * 30, 22, -52), (side * 44, 6, -92), 7.0)  # pterygoid


def _neck(canvas: Canvas) -> None:
    for side in (-1.0, 1.0):
        canvas.tube("fat", (side * 24, -84, -66), (side * 20, -76, -150), 13.0)
        canvas.tube("muscle", (side * 12, -84, -60), (side * 12, -72, -150), 9.5)
        canvas.tube("muscle", (side * 30, -70, -62), (side * 30, -60, -150), 10.5)
        canvas.tube("muscle", (side * 58, -30, -62), (side * 38, 2, -160), 9.0)
        canvas.ellipsoid("skin", (side * 52, -2, -84), (12, 14, 22))  # parotid: between fat and muscle
        canvas.tube("vessel", (side * 28, -8, -62), (side * 29, -6, -160), 3.2)
        canvas.tube("vessel", (side * 35, -16, -62), (side * 36, -14, -160), 4.5)
    canvas.tube("fat", (0, -92, -64), (0, -84, -150), 4.0)


def _skull(canvas: Canvas, shape: HeadShape, inner: np.ndarray) -> None:
    x, y, z = canvas.points
    low = np.clip((-28 - z) / 20, 0, 1)  # the base: thicker, without a regular marrow
    squama = np.exp(-(((np.abs(x) - 72) / 14) ** 2) - ((y + 5) / 34) ** 2 - ((z + 12) / 24) ** 2)
    thickness = shape.skull * (1 - 0.45 * squama)
    canvas.paint("bone", inner - thickness)
    marrow = np.maximum(1.7 - inner, inner - thickness + 1.7) + 3 * low + 1.5 * squama
    canvas.paint("marrow", marrow)
    for side in (-1.0, 1.0):  # petrous bones and mastoids
        canvas.tube("bone", (side * 20, 0, -44), (side * 56, -28, -40), 9.0)
        canvas.ellipsoid("bone", (side * 60, -36, -54), (13, 17, 18))
        where = canvas.box((side * 60, -36, -52), (10, 14, 14))
        cells = ellipsoid(canvas.points[(slice(None), *where)], (side * 60, -36, -52), (10, 14, 14))
        canvas.paint("air", np.maximum(cells, 1.2 - np.abs(shape.mottle[where]) * 5), where)
    canvas.tube("bone", (0, 6, -34), (0, -24, -58), 8.0)  # clivus
    canvas.tube("marrow", (0, 4, -36), (0, -22, -57), 5.0)


def _face_bones(canvas: Canvas, shape: HeadShape) -> None:
    for side in (-1.0, 1.0):
        canvas.ellipsoid("bone", (side * 28, 48, -66), (21, 24, 20))  # maxilla
        canvas.tube("bone", (side * 48, 58, -52), (side * 68, 6, -46), 4.0)  # zygoma
        canvas.tube("marrow", (side * 48, 58, -52), (side * 58, 34, -49), 2.0)
        canvas.tube("bone", (side * 52, 60, -50), (side * 51, 60, -24), 4.5)
        canvas.tube("bone", (side * 50, 8, -56), (side * 44, 10, -96), 5.0)  # ramus of the mandible
        canvas.tube("bone", (side * 44, 10, -98), (side * 12, 74, -110), 7.5)
        canvas.tube("marrow", (side * 44, 12, -98), (side * 12, 73, -110), 4.5)
        for row, z in (("bone", -86.0), ("bone", -97.0)):
            canvas.tube(row, (side * 27, 30, z), (side * 8, 76, z), 4.5)
    canvas.tube("bone", (-12, 74, -110), (12, 74, -110), 7.5)
    canvas.tube("marrow", (-12, 73, -111), (12, 73, -111), 4.5)
    canvas.tube("bone", (-9, 77, -86), (9, 77, -86), 4.5)
    canvas.tube("bone", (-9, 76, -97), (9, 76, -97), 4.5)
    canvas.tube("bone", (0, 84, -34), (0, 92, -48), 4.0)  # nasal bones
    canvas.ellipsoid("bone", (0, 40, -79), (26, 34, 4))  # palate
    canvas.ellipsoid("muscle", (0, 36, -98), (22, 36, 18))  # tongue
    canvas.paint(
        "fat", np.maximum(ellipsoid(canvas.points, (0, 34, -100), (16, 26, 14)), 1.0 - np.abs(shape.mottle) * 2)
    )
    for level in range(6):  # vertebrae: body, disk, arch, spine
        z = -76.0 - 17.0 * level
        y = -24.0 + 2.0 * level - 3.0 * (level == 0)
        canvas.ellipsoid("bone", (0, y, z), (12, 9.5, 8))
        canvas.ellipsoid("marrow", (0, y, z), (10.5, 8, 6.5))
        canvas.ellipsoid("muscle", (0, y, z - 8.5), (10, 8, 2.2))
        for side in (-1.0, 1.0):
            canvas.tube("bone", (side * 18, y - 6, z), (side * 12, y - 28, z - 3), 5.0)
            canvas.tube("marrow", (side * 18, y - 6, z), (side * 13, y - 25, z - 3), 3.2)
        canvas.tube("bone", (0, y - 34, z - 3), (0, y - 46, z - 9), 3.8)
        canvas.tube("marrow", (0, y - 35, z - 4), (0, y - 44, z - 8), 2.0)


def _airways(canvas: Canvas) -> None:
    nasal = canvas.box((0, 56, -58), (14, 44, 20))
    p = canvas.points[(slice(None), *nasal)]
    cavity = ellipsoid(p, (0, 56, -60), (13, 38, 17))
    canvas.paint("mucosa", cavity - 1.5, nasal)
    # septum and turbinates leave narrow passages
    passages = np.maximum(cavity, 2.2 - np.abs(p[0]))
    turbinates = np.abs(np.mod(p[2] - 0.6 * np.abs(p[0]) + 66, 13.0) - 6.5) - 2.8
    passages = np.maximum(passages, np.minimum(-turbinates, 9.5 - np.abs(p[0])))
    canvas.paint("air", passages, nasal)
    canvas.tube("mucosa", (0, 14, -62), (0, 0, -160), 10.5)  # pharynx
    canvas.tube("air", (0, 15, -62), (0, 8, -80), 7.0)
    canvas.tube("air", (0, 6, -84), (0, 8, -160), 6.5)
    canvas.tube("muscle", (0, 18, -80), (0, 7, -94), 4.5)  # soft palate
    for side in (-1.0, 1.0):
        canvas.ellipsoid("mucosa", (side * 28, 46, -63), (14.5, 17.5, 15.5))
        canvas.ellipsoid("air", (side * 28, 46, -62.5), (13, 16, 14))  # maxillary sinus
        canvas.ellipsoid("bone", (side * 9, 44, -42), (7.5, 24, 10))
        canvas.ellipsoid("air", (side * 9, 44, -42), (6, 22, 8))  # ethmoid cells
        for y in (30.0, 40.0, 50.0, 58.0):
            canvas.tube("mucosa", (side * 3, y, -34), (side * 3, y, -50), 0.9)
            canvas.tube("mucosa", (side * 15, y, -34), (side * 9, y, -50), 0.9)
        canvas.ellipsoid("air", (side * 9, 17, -41), (8, 9, 8))  # sphenoid sinus
        canvas.ellipsoid("bone", (side * 12, 77, -20), (13, 7, 13))
        canvas.ellipsoid("air", (side * 11, 77, -21), (10, 4.0, 9))  # frontal sinus
    canvas.ellipsoid("mucosa", (0, 9, -32), (7, 5, 3.5))  # pituitary, outside the barrier


def _orbit(canvas: Canvas, side: float) -> None:
    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return (side * x, y, z)

    for name, more in (("bone", 2.0), ("fat", 0.0)):  # a cone: three balls in a row
        canvas.ellipsoid(name, at(32, 60, -39), (19 + more, 19 + more, 17.5 + more))
        canvas.ellipsoid(name, at(26, 44, -37), (13 + more, 16 + more, 13 + more))
        canvas.ellipsoid(name, at(19, 30, -34), (7 + more, 13 + more, 7 + more))
    for x, z in ((8.0, 0.0), (-8.0, 0.0), (0.0, 9.0), (0.0, -9.0)):  # the four straight muscles
        canvas.tube("muscle", at(17 + x / 6, 28, -33 + z / 6), at(28 + x * 1.25, 46, -37 + z), 2.3)
        canvas.tube("muscle", at(28 + x * 1.25, 46, -37 + z), at(32 + x * 1.4, 62, -39 + z * 1.25), 1.5)
    canvas.tube("CSF", at(11, 18, -29), at(31, 52, -39), 3.0)
    canvas.tube("nerve", at(6, 10, -24), at(31, 52, -39), 1.9)
    canvas.ellipsoid("sclera", at(32, 64, -39), (13.0, 13.0, 12.8))
    canvas.ellipsoid("vitreous", at(32, 64, -39), (11.7, 11.7, 11.5))
    canvas.ellipsoid("lens", at(32, 72.2, -39), (4.8, 2.2, 4.8))
    canvas.ellipsoid("skin", at(32, 78.5, -39), (12, 2.5, 10))  # lids


def _canal(canvas: Canvas) -> None:
    for a, b in ((CORD_TOP, (0.0, -42.0, -86.0)), ((0.0, -42.0, -86.0), (0.0, -32.0, -190.0))):
        canvas.tube("dura", a, b, 9.2)
        canvas.tube("CSF", a, b, 8.2)
    for a, b in ((CORD_TOP, (0.0, -42.0, -86.0)), ((0.0, -42.0, -86.0), (0.0, -32.0, -190.0))):
        canvas.tube("nerve", a, b, 5.2)


def _sinuses(canvas: Canvas, hull: np.ndarray, inner: np.ndarray) -> None:
    x, y, z = canvas.points
    depth = np.maximum(inner - 0.2, -3.0 - hull - 2.0)
    wedge = np.abs(x) - 2.0 + 0.8 * np.minimum(inner, 0)  # a triangle, its base on the bone
    along = np.maximum(-(z + 22), np.where(z > 20, -50, y + 40))
    canvas.paint("vessel", np.maximum(np.maximum(depth, wedge + np.minimum(inner + 4, 0)), along))
    for side in (-1.0, 1.0):
        canvas.tube("vessel", (side * 4, -104, -26), (side * 46, -82, -32), 3.2)
        canvas.tube("vessel", (side * 46, -82, -32), (side * 56, -48, -40), 3.2)
        canvas.tube("vessel", (side * 12, 4, -36), (side * 13, 20, -34), 2.6)  # carotid siphon
    canvas.tube("vessel", (0, -18, -52), (0, -14, -26), 1.6)  # basilar
