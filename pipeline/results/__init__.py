"""From predictions to figures: runs read, seeds pooled, intervals over patients, verdicts in words.

Evaluate, report, compare, study and register ask this room, so that all say the same.
May enter: what counts, compares or judges. It draws nothing and prints nothing.
"""
