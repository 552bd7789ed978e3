"""How a prediction answers when its own patch is changed: sums per patient, for intervals.

Every patch is compared with itself, so that what patches differ in drops out.
May enter: statistics of repeated predictions of one patch.
"""
