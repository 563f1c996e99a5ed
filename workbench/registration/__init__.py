"""One image brought onto another: linear maps, demons, correspondence by features.

A field is (3, X, Y, Z) on the lattice of the fixed image: out(x) = moving(x + u(x)); mm RAS in what leaves this room,
and voxels of the fixed lattice inside its engines, which see both images on one lattice. Its files, in reading order:

    match             what an engine returns: the map and its inverse in voxels, its energy, its points
    warped_labels     label maps read between voxels
    registered        two images and the map between them, in mm; warps images, labels and points
    itk_images        arrays as SimpleITK images and back, checked; filters watched and stopped
    resolutions       two Volumes from coarse to fine, for linear registration
    linear            rigid and affine maps, multi-resolution, with a way back where the optimizer gets lost
    pyramid           coarser copies of two images, intensities made comparable
    itk_demons        SimpleITK's demons and diffeomorphic demons
    channel_demons    diffeomorphic demons of many channels
    feature_rows      the rows that describe voxels, and raw patches as rows
    tissue            three classes of brightness with soft shares, their neighbors and a slow bias heard
    attributes        HAMMER's hand-made attribute vectors
    row_pyramid       rows of blocks of voxels, for coarse stages
    thin_plate        thin-plate splines in three dimensions
    matching          candidates scored by whole neighborhoods; soft correspondence
    key_points        saliency, and which voxels drive
    half_maps         a velocity from a space midway and the maps that it gives
    hammer_settings   stages and weights of HAMMER
    hammer_stage      one stage: match, spline, update
    hammer            HAMMER from coarse to fine, driven by any rows
    rounds            HAMMER again and again, the warped image described anew
    deformable        linear map, then an engine, then the total field both ways
    atlas_warps       registrations of atlases, kept on the disk
"""
