"""What detectors of tissue are made of: projections, thresholds, marks and repairs of masks.

Every tiling depends on all of it: what serves one detector only belongs into that detector's own file.
Nothing here knows a detector.
"""
