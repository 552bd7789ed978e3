"""What `evenpatch predict` costs beside its decoder and network alone, and beside TIAToolbox, and what it
leaves when it is killed: `make benchmark-predict`, `make benchmark-faults`.
"""
