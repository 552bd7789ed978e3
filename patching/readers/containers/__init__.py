"""Slides whose pixels lie beside the file that names them, and names that say which scanner wrote a file.

`claims` checks a file's name and what must lie beside it; `companions` lists what belongs to it.
May enter: formats of several files. One of them alone is often a preview in TIFF or JPEG: it is never read.
"""
