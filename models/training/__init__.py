"""The training of a classifier: candidates on equal terms, one loop, one step, and what keeps them going.

`fit` is the way in; methods are met through their base class only.
May enter: what every method's training goes through. What only one does belongs into its own file.
"""
