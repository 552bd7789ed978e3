"""The only door to MLflow: runs, trials, models, and the served model.

Nothing outside this room imports mlflow.
May enter: what MLflow is told, and what it gives back.
"""
