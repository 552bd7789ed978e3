"""Where the benchmark reads and writes; what it writes lies under `outputs/benchmarks`, ignored by git."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = ROOT / "outputs" / "benchmarks"
SLIDES = OUTPUTS / "slides"
WORK = OUTPUTS / "work"
RESULTS = OUTPUTS / "tiling"


def real_data() -> Path:
    """Folder of the real slides that give the texture.

    Raises:
        SystemExit: there is none; the message says what to do.
    """
    named = os.environ.get("EVENPATCH_REAL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "wsi-scanners").is_dir():
        raise SystemExit(
            f"no real slides in {folder}: set EVENPATCH_REAL_DATA to the folder with wsi-scanners/"
        )
    return folder
