"""The patch store: zarr v3, one group a slide, a checksum on every patch.

`reading` has its schema, `writing` the one writer; the other files are its bytes.
May enter: what a store's bytes mean. Knows nothing of slides: a training reads stores without any reader.
"""
