"""The hand-designed partners and rivals of learnt features: arrays in, arrays out.

In reading order:

    descriptors   dense SIFT-like descriptors in two and three dimensions
"""
