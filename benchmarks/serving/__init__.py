"""What a served model does under load, and with requests that are none.

    python -m benchmarks.serving models:/evenpatch-phantom@champion [--requests N] [--clients N]

It starts `mlflow models serve` on a free port, and writes outputs/benchmarks/serving/results.json.
"""
