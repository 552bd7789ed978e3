"""Encoders from pixels to features: one file each, named in `registry`.

All of them take any number of input channels.
May enter: a new encoder. Nobody but the registry imports one by name.
"""
