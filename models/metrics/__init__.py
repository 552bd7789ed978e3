"""Figures of predictions: accuracy of groups, AUROC, slopes, and intervals over patients.

Arrays in, figures out; undefined is NaN beside a count, never 0. `group_metrics` is handed on from here.
May enter: what is computed of predictions or of a network's answers. Nothing here trains or draws.
"""

from models.metrics.accuracy import group_metrics as group_metrics
