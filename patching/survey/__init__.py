"""What a slide is like before anything is cut: tissue, grid, and how much tissue every place of it holds.

Tiling labels what is found here, predicting needs no labels. The quality of a patch is measured here too.
May enter: what both cutting patches into stores and predicting slides ask of a slide.
"""
