"""Patches whose tissue is replaced by real background, or the reverse: what a network is then fed.

`replacing` chooses the pixels, `material` pieces together what takes their place.
May enter: what changes a patch's pixels to test a network. Knows neither stores nor tables.
"""
