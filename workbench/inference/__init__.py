"""A trained network on a whole volume, and what is asked of the result.

In reading order:

    boxes        boxes about every voxel: zero margins, sums, growth
    blocks       an encoder's stages as matrix products on gathered rows, or by Fourier transform
    dense        encode every voxel of a mask, tile by tile, equal to encoding patch by patch
    subspaces    the same for stacked independent subspaces, plane by plane
    features     feature volumes and their cache on disk
    tile_plan    boxes that fit in memory and share their margins cheaply
    dense_network  a patch network made to score every voxel of a window
    probabilities  checks, planes, windows and activations on the way to class probabilities
    patchwise    class probabilities voxel by voxel, or every few as a preview
    same_size    class probabilities of networks that give a map of their input's size
    whole_volume  class probabilities of a whole volume: dense, in windows, or at once
    similarity   how similar is every voxel to one point, by patches or by features
"""
