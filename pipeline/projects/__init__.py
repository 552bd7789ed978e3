"""A folder in which `evenpatch` and `dvc repro` work: what a new one holds, and which cohort it works on.

Nothing here knows what a stage computes.
May enter: files of a new project, and the choice that configs/params.yaml tells DVC.
"""
