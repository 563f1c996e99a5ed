"""What the workflow can do, by subject; :mod:`workbench.workflow` is the one door through which it is used.

systems   systems, their presets and settings, and what a training will take
cohorts   bring, make, inspect, split and read cohorts
runs      train, launch, resume, stop, compare and hand on runs
views     what a trained run shows, predicts and scores
regional  from 4-D images to regional signals, and what runs on these show
segmentation_tables  scores of segmentations: worst cases, runs paired by subject, lesions by size
segmentation  label a subject with a trained run, score it, hand it on
registration_store  registrations as folders: written whole or not at all, listed, read back
registration_report  a registration as one page to hand on
registration  bring one image onto another, score it, hand it on
variants  what is varied in an experiment, from texts
experiment_cells  the trainings of an experiment
experiments  variants on the same seeds: start, follow, stop, compare
"""
