"""What can be told without a network: from the tissue fraction alone, and from hand-made statistics.

Cross-validated over patients, with a permutation null beside it; docs/shortcuts.md says what follows.
May enter: a cheap answer to hold a network against, and the arithmetic of permutation tests.
"""
