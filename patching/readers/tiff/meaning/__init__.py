"""What a TIFF's directories mean: which image is the slide, what OME-XML tells of it, what its samples are.

`images` chooses one, `ome` finds what belongs to this file, `samples` has the lists of what is understood.
May enter: what a file says of itself. Where pixels lie, and how they are decoded, is outside.
"""
