"""Published benchmarks of spurious correlations, read from their own files.

One file a layout, named in `registry`; `import` makes a cohort of them.
May enter: a layout that others have published.
"""
