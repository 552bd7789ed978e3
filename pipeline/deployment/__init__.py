"""What takes a registered model to new slides."""
