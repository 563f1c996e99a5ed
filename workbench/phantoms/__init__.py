"""Synthetic subjects whose truth is known, so that a claim can be checked and a first run needs no data.

Files in reading order:

    template      the MNI152 T1 and tissue maps that nilearn ships, on a lattice of any spacing from 1 to 8 mm
    deformation   random diffeomorphisms with their inverse: a stationary velocity field, scaling and squaring
    appearance    tissue fractions to T1, T2, FA and PET; texture, contrast, bias field, noise; presets of difficulty
    brain         a cohort of brains: deformed, changed in appearance, written with truth in both directions
    digits        the handwritten digits that scikit-learn installs, as pictures
    modalities    regional MRI and PET of patients and controls, as feature tables of known dependence
    two_level     subjects whose class two factors make together, and neither alone
    bold_plan     the settings of a BOLD phantom, checked
    bold_regions  real MNI coordinates with network names, eight of them to be planted
    bold_sources  time courses of events, binary, Laplace and Gaussian; the double-gamma response
    bold_best     the best accuracy and ROC area there is, from likelihood ratios of the true law
    bold_networks  planted overlapping networks of regions
    bold_edges    planted edges that tell patients apart, in an autoregression of known covariance
    bold_states   hidden states whose classes differ in persistence alone, or in pattern alone
    bold_nuisance  sites, their confounding with the diagnosis, and heads that move
    bold_voxels   regional series as smooth blobs of a 4-D image, with a label image
    bold_subjects  one subject: signal, noise, site and motion, with the truth of each
    bold          the cohort: tables or images, regions, confounds, truth
"""
