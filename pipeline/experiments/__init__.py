"""Many trainings on purpose: studies over folds and seeds, searches over settings, sweeps of learning rates.

What decides each training, and the files and pictures that come out of it.
May enter: what study, tune and sweep are made of. One training is pipeline.training's.
"""
