"""A trained network on a whole volume, and what is asked of the result.

In reading order:

    boxes        boxes about every voxel: zero margins, sums, growth
    blocks       an encoder's stages as matrix products on gathered rows, or by Fourier transform
    dense        encode every voxel of a mask, tile by tile, equal to encoding patch by patch
    features     feature volumes and their cache on disk
    similarity   how similar is every voxel to one point, by patches or by features
"""
