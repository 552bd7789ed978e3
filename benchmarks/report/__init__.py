"""How large the report and the cohort's page become with the number of slides, and how long they take.

Cohorts are made up: nothing is trained. Nothing here is imported by what is installed.
"""
