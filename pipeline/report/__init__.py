"""The offline report: what it is made from, its sections, its templates.

`evidence` gathers, `panels/` show; the figures come from pipeline.results.
May enter: what only the report shows.
"""
