"""What several detectors share: thresholds, uneven light, pen marks, scan borders, repairs of a mask.

Sizes are in micrometres, so that they mean the same on every slide.
May enter: what two detectors need. Knows no detector by name.
"""
