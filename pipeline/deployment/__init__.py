"""What takes a registered model to new slides.

Above tracking, which hands it the model.
May enter: prediction of whole slides, export, rollback and monitoring.
"""
