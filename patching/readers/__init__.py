"""Slides of every format, opened as one kind of object: size, levels, channels, pixel size, regions.

`registry` chooses the reader of a file; TIFF and OME-Zarr have rooms of their own.
May enter: a new format. What would be read wrongly is refused here, with the reason.
"""
