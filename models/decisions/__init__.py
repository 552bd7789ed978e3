"""How a decision is fitted to validation patients: rule, calibration, operating threshold.

`fitting` is the way in; what is fitted is applied by models.networks.decision.
May enter: what is fitted on validation alone, from log-odds. Test patches and images never do.
"""
