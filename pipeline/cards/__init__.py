"""What is said of a model and of its data, in words: evidence with its limits, and cards in Markdown.

MLflow's pages and the documents beside the report are made of the same sentences.
May enter: words about a model or a cohort that more than one reader is given.
"""
