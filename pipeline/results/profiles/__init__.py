"""How a method behaves, beside its groups: along the tissue fraction, and in its probabilities and verdicts.

Evaluate writes them as metrics.json; scoreboards, tables and report ask for the same.
May enter: figures of one method's predictions that are no accuracy of groups. Nothing here compares methods.
"""
