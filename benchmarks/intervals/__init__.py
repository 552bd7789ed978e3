"""Simulation of intervals: how often they hold the truth, how wide they are, how often they are wrongly sure.

Cohorts are drawn from known accuracies and given to `models.metrics.intervals` as predictions would be; other
ways of making an interval stand beside it. Nothing here is imported by what is installed.
"""
