"""Synthetic subjects whose truth is known, so that a claim can be checked and a first run needs no data.

Files in reading order:

    template      the MNI152 T1 and tissue maps that nilearn ships, on a lattice of any spacing from 1 to 8 mm
    deformation   random diffeomorphisms with their inverse: a stationary velocity field, scaling and squaring
    appearance    tissue fractions to T1, T2, FA and PET; texture, contrast, bias field, noise; presets of difficulty
    new_folder    a phantom's folder, whole or not at all
    patients      how many subjects, a patient's files, a cohort of patients
    brain         a cohort of brains: deformed, changed in appearance, written with truth in both directions
    blobs         ellipsoids in any direction, tubes along curves, soft edges, fine random fields
    vessels       arteries, veins, sinuses and choroid plexus of the template
    anatomy       one person's brain: folds of its own, ventricles, vessels
    mimics        what is bright on FLAIR without being a lesion
    scanners      scanners with their own contrast, scale and bias field
    tumor_regions  a glioma's shape, nested regions, and the push it gives
    tumor         a cohort of gliomas: T1, T1c, T2, FLAIR, labels of BRATS
    lesion_shapes  white matter lesions: ellipsoids of log-normal size, most of them about the ventricles
    lesion        a cohort of white matter lesions: T1, T2, PD, FLAIR, few voxels, mimics
    lattice       voxels over a box in mm, and where they lie in an atlas after a random deformation
    painting      shapes painted over one another into several images at once, with soft edges
    head_anatomy  skull, scalp, face, eyes and neck around the MNI152 brain, from shapes
    head_contrast  how bright the tissues of a head are; inverted and random contrasts
    head_surgery  an enhancing tumor, or a resection cavity under a bone flap
    head          a cohort of whole heads for skull stripping
    brain_parts   cerebrum, cerebellum and brain stem of the template; deep grey matter, ventricles, capsule
    brain_7t_look  contrasts of one anatomy, small bright vessels, individual texture, a bias from 0.4 to 1.6
    brain_7t      a cohort of 7 T-like brains with known deformation, hippocampus and deep nuclei
    infant_anatomy  an infant's tissues, or a newborn's eight regions, as shares of each voxel
    infant        a cohort of infants' brains, isointense in T1 and T2, or of newborns' in eight regions
    prostate_shape  an ellipsoidal gland bent by seven coefficients; its surface in 24 sectors
    prostate_anatomy  the male pelvis about it: bladder, rectum, muscles, bones, veins; zones and nodules inside
    prostate_appearance  two kinds of patients; a capsule bright, dark or absent by sector; texture, scanner
    prostate      a cohort of prostates in T2-weighted MR with thick slices
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
