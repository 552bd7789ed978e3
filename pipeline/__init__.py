"""The command line, the stages, and the rooms behind them, one above the other (docs/architecture.md).

The only package that knows files' places, YAML and MLflow; every hand-over is listed in `artifacts`.
May enter at this level: what every room needs. Everything else has a room; its contract is in pyproject.toml.
"""
