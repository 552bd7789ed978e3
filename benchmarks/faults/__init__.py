"""What happens when files lie, processes die or meet, projects move and disks fill up.

    python -m benchmarks.faults mutate [--cases N] [--case N]
    python -m benchmarks.faults kill [--kills N]
    python -m benchmarks.faults disk-full
    python -m benchmarks.faults predict-kill [--kills N]
    python -m benchmarks.faults predict-disk-full
    python -m benchmarks.faults tables
    python -m benchmarks.faults two [--times N]
    python -m benchmarks.faults moves

Each part writes outputs/benchmarks/faults/<part>.json and renews table.md beside it.
"""
