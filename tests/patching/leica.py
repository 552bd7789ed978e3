"""A Leica slide that OpenSlide tells bounds of: 600 x 360 pixels of 250 nm, of which 300 x 200 at (160, 100)
are scanned."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

_SCN = """<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">
<collection sizeX="150000" sizeY="90000"><image>
<view sizeX="75000" sizeY="50000" offsetX="40000" offsetY="25000"/>
<pixels><dimension ifd="0" sizeX="300" sizeY="200"/></pixels>
<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>
<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>
</collection></scn>"""


def write_leica(path: Path, scanned_HW3: NDArray[np.uint8]) -> Path:
    """The slide with these 300 x 200 pixels."""
    options: dict[str, Any] = {"tile": (64, 48), "compression": "zlib", "photometric": "rgb"}
    tifffile.imwrite(path, scanned_HW3, bigtiff=True, metadata=None, description=_SCN, **options)
    return path
