"""What lies beside the report for other programs: tables, figures as JSON with a schema, slides for QuPath.

All of the one model that the report is about, on its test patches; names go through `sources.ids`.
May enter: a file of figures or predictions. What a reader looks at in the page is a panel.
"""
