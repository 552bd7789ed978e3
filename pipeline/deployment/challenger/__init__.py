"""The challenger gate: a tracked model takes the champion's place only where every rule holds.

`choice` names the candidate, `evidence` and `duel` measure, `rules` judge, `record` tells, `promotion` moves.
May enter: what decides whether a model is served, and what undoes it.
"""
