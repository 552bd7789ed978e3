"""Colored MNIST: our rows beside GERNE's published ones."""
