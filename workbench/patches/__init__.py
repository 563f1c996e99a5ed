"""Small pieces of images: where to take them, how to take them quickly, and how to put them together again.

A training step of Section 2 and 3 sees patches, never whole volumes. Files in reading order:

    samplers       centers of patches: uniform, inside a mask, balanced by label, by importance, on a grid; mm to voxels
    gather         patches about centers, in one fancy index: 3-D, a plane, several scales
    views          2.5-D: the three orthogonal planes as channels
    augmentation   random affine maps and intensity changes of a batch, a function of a generator
    aggregator     patches back to a volume: crop, average or Hann
    prepared       one subject as the network is to see it: checked, with tables for the samplers
    building       the folder of a store: written once, named when complete
    stored_labels  the label maps of a store: labels about centers, centers by class
    store          prepared subjects as memory-mapped arrays with a margin of zeros, and draws from them
    scaling        from intensities to what visible units expect, learnt from the training examples
    loader         batches that are a function of (seed, epoch, index), and that follow a resumed training
    datamodule     the LightningDataModule that trains from a store
    right_angles   flips, quarter turns and exchanged axes, exact on images and labels alike
    labelled       the LightningDataModules of segmentation: patches with the labels in them, and whole images
    examples       examples that fit in memory, and the LightningDataModule that trains on them
"""
