"""What several detectors share: projections, thresholds, light, ink, borders, repairs of a mask.

Every tiling depends on all of it: what serves one detector only belongs into that detector's own file.
May enter: what two detectors need. Knows no detector by name.
"""
