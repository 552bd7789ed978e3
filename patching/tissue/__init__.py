"""Where a slide has tissue: one file a detector, named in `registry`.

`base` says what a detector is; what several share is in `parts/`.
May enter: a new detector. It sees an overview of the slide and its pixel size, nothing else.
"""
