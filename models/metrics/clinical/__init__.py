"""What a verdict is worth to whoever acts on it: predictive values, precision and recall, net benefit.

Of two classes, as sums per patient where there are intervals; counts at every threshold for a reader to move.
May enter: clinical figures of probabilities and verdicts. Accuracy of groups is one room up.
"""
