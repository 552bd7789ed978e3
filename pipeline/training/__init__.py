"""What training and predicting verbs share: patches gathered, names of groups, settings, many trainings.

Training itself is in models.training; here it meets files and settings.
May enter: what brings a cohort's tables and stores to models. No figures and no pages.
"""
