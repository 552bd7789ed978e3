"""Which part of a slide is tumor: outlines of several viewers, mask images, a label for the whole slide.

One file a format, named in `registry`; areas are exact integrals along the outlines.
May enter: a new format, and the geometry that formats share. Pixels of slides stay outside.
"""
