"""The report's first screen: what the model gets wrong, a reader's first questions, what stands behind it.

Every figure is one that a panel shows, in words.
May enter: a sentence of the first screen. What needs figures of its own is a panel.
"""
