"""`python -m benchmarks.decisions`: how stable a fitted decision is, beside a search on a grid.

Simulated validation patients, both labels in a patient and one; with --cells, a study's log-odds too. Writes
report.md to outputs/benchmarks/decisions; docs/decision.md says what it found.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.decisions.simulation import simulated
from benchmarks.decisions.studied import studied

OUTPUTS = Path("outputs/benchmarks/decisions")


def main() -> None:
    """Simulate, compare, write the tables."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.decisions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--patients", type=int, nargs="+", default=[5, 10, 20, 40], help="of validation")
    parser.add_argument("--draws", type=int, default=500, help="validation cohorts of each size")
    parser.add_argument(
        "--cells", type=Path, help="outputs/<cohort>/study/cells of a study, to compare on too"
    )
    parser.add_argument("--index", type=Path, help="its data/<cohort>/patches/index.parquet")
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    options = parser.parse_args()
    if (options.cells is None) != (options.index is None):
        parser.error("give both --cells and --index, or neither")
    tables = [markdown(simulated(options.patients, options.draws))] if options.draws else []
    if options.cells:
        tables.append(markdown(studied(options.cells, options.index)))
    text = "\n".join(tables)
    options.outputs.mkdir(parents=True, exist_ok=True)
    (options.outputs / "report.md").write_text(text, encoding="utf-8")
    print(text)


def markdown(table: pd.DataFrame) -> str:
    """A table's rows, numbers with three digits."""
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
