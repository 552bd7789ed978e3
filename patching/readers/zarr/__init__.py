"""OME-Zarr in folders and at addresses.

`slide` is the reader; only the chunks under a region are read.
May enter: what only OME-Zarr needs. The project's own patch stores are in patching.store.
"""
