"""PNG and JPEG: small pictures, decoded whole at the first read.

`slide` is the reader; `told` has what a picture tells of itself beside its pixels.
May enter: what only pictures need.
"""
