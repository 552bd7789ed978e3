"""The classifier: raw patches in, logits or probabilities out; its head, its BatchNorm, its file.

The encoders are in `backbones/`.
May enter: what a network is, with no word on how it is trained or judged.
"""
