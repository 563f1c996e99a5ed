"""Section 3 of the review: one published system, one file; and each family of Section 2 on its own.

    base             what a system is: settings, presets, what was reported
    catalog          finds the files below by walking the folders; reads their cards without importing them
    form             from a system's fields to a form, and from its cost to minutes on this machine
    feature_images   from a file to the image that a patch encoder sees
    feature_scores   errors, the use of units, the work of a pass
    features_base    systems that learn a patch encoder without labels: data, greedy training, record
    feature_views    what a trained feature learner shows of itself
    feature_figures  the same as figures, by name
    feature_search   Figure 5 as an instrument: where is a point of one image in another
    feature_study    Figure 5 as a table, over many points whose match is known
    features/        Section 3.1
    families/        Section 2
"""
