"""One model's figures as a clinician asks for them: parts, misses by place, thresholds.

From a method's predictions on test patients; the arithmetic is in models.metrics.clinical.
May enter: clinical figures of one model, for the report and its exports. Nothing here compares methods.
"""
