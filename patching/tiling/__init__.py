"""One slide or many into patches: plan, cut, publish; in one process, in several, or on a cluster.

`tiler` does a slide, `engine` the list of them, `receipts` knows what is finished.
May enter: what decides which patches there are, and gets them written. Pixels are read in patching.readers.
"""
