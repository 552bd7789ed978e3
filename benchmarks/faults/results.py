"""Results as JSON, one file per part, and one Markdown table over them."""

import json
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ("part", "what", "figure")


def write_results(folder: Path, part: str, results: Mapping[str, object]) -> None:
    """Write `<part>.json` and renew `table.md` from every part that has run."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / f"{part}.json").write_text(text + "\n", encoding="utf-8")
    table = table_of(folder)
    (folder / "table.md").write_text(table, encoding="utf-8")
    print(table)


def table_of(folder: Path) -> str:
    """The figures of all parts, as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|"]
    for path in sorted(folder.glob("*.json")):
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            if not isinstance(value, list | dict):
                lines.append(f"| {path.stem} | {name.replace('_', ' ')} | {_told(value)} |")
            elif isinstance(value, dict):
                told = ", ".join(f"{key} {_told(each)}" for key, each in value.items())
                lines.append(f"| {path.stem} | {name.replace('_', ' ')} | {told} |")
    return "\n".join(lines) + "\n"


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
