"""How everything looks that is drawn: charts, pages, patches as pictures, training curves.

Nothing here knows a cohort's files.
May enter: matplotlib and jinja2 that more than one room needs.
"""
