"""What an attribute of patches has to do with their labels, and with a model's errors, beyond tissue.

Patients are the unit: every figure is made of sums over patients, once for each attribute.
May enter: arithmetic of the report's audit. Which attributes there are is not known here.
"""
