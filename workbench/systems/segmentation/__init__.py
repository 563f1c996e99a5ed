"""Segmentation of Sections 3.3 and 3.4."""
