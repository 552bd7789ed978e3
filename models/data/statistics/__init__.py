"""Hand-made statistics of patches, the same for every cohort: intensity, gradients, co-occurrence.

Computed of stored pixels; no label, attribute or tissue mask has a say.
May enter: a number computed of one patch's pixels. Knows neither tables nor models.
"""
