"""Reporting guidelines: what each item asks, in our own words, and where the report answers it.

A YAML file a guideline; `checklist` reads them, the panel of that name shows them.
May enter: another guideline, as its YAML file and a row of `checklist.GUIDELINES`.
"""
