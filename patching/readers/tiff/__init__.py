"""TIFF in its many dialects, read segment by segment; each is decoded once, however many regions share it.

`slide` is the reader; the other files are its arithmetic, checks and cache.
May enter: what only TIFF needs.
"""
