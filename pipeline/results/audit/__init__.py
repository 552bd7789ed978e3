"""The bias audit: which attributes of patches go with their labels, and with the model's errors.

`gathering` finds a cohort's attributes, `findings` judges them, `words` and `export` tell what was found.
May enter: what the audit needs to know of a cohort's files. Its arithmetic is models.metrics.audit.
"""
