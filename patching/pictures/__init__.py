"""Pictures of slides and patches: an overlay of what was tiled and why, sheets of patches side by side.

Arrays in, PNG or JPEG out.
May enter: what draws on pixels. Charts and pages are drawn in pipeline.look.
"""
