"""What several methods share: plans of batches, quotas, reweighting, mixing, second stages.

Every training depends on this room, and on no method but its own.
May enter: what two methods need. Knows no method by name.
"""
