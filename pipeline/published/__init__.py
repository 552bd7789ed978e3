"""Published benchmarks and sets of patches, read from their own files.

A benchmark is a file a layout, named in `registry`, for `import`; `assemble` rebuilds slides from patches.
May enter: a layout that others have published.
"""
