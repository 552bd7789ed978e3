"""The cohort as tiled: its patch index, what was left out, the page and the sheets to look at.

Written by tile and import, read by the report.
May enter: what is known of slides and patches before anything is trained.
"""
