"""What a network is given: patches of a split, their normalization, augmentation, split and attribute.

Pixels are read in `dataset`; every change made to them keeps the tissue area.
May enter: what happens to patches before a network sees them. Knows neither networks nor methods.
"""
