"""Synthetic subjects whose truth is known, so that a claim can be checked and a first run needs no data.

Files in reading order:

    template      the MNI152 T1 and tissue maps that nilearn ships, on a lattice of any spacing from 1 to 8 mm
    deformation   random diffeomorphisms with their inverse: a stationary velocity field, scaling and squaring
    appearance    tissue fractions to T1, T2, FA and PET; texture, contrast, bias field, noise; presets of difficulty
    brain         a cohort of brains: deformed, changed in appearance, written with truth in both directions
    digits        the handwritten digits that scikit-learn installs, as pictures
    modalities    regional MRI and PET of patients and controls, as feature tables of known dependence
"""
