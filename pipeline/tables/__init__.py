"""Tables of figures in every form that is written: text, Markdown, LaTeX, HTML, JSON.

All forms share the same cells.
May enter: how figures are written down. The figures themselves come from pipeline.results.
"""
