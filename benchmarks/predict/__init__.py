"""What `evenpatch predict` costs beside its decoder and network alone, and beside TIAToolbox:
`make benchmark-predict`.
"""
