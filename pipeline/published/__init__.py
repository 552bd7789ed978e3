"""Published benchmarks of spurious correlations, read from their own files."""
