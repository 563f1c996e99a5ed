"""What is measured: arrays in, numbers out.

In reading order:

    correspondence    how well one similarity vector finds the true match of a point
    intervals         means, differences and shares with their uncertainty
    classification    how well classes are told apart: accuracy, AUC, calibration, per-subject intervals
    roc               ROC curves over folds, with a band that draws subjects
    permutation       how often chance alone does as well
    likelihood        partition functions of energy models: exact, and by annealed importance sampling
    recovery          whether planted maps, states, networks and edges were found
    subspace_recovery  how far found subspaces are from the true ones
    overlap           how much two masks have in common, at one threshold or at many
    surface_distance  how far apart the surfaces of two masks lie, in mm
    label_pair        two label maps counted against each other once
    lesions           how many lesions were found, and how many that were found are none
    segmentation      label maps scored: every structure, subjects together, the worst first
"""
