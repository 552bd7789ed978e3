"""What differs between normal tissue and tumor: the cell-scale texture, and nothing else."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Texture:
    """Cell-scale texture of one class. Lengths in µm."""

    nucleus_um: float
    """Median diameter of a nucleus."""
    size_spread: float
    """Standard deviation of the logarithm of the diameter."""
    irregularity: float
    """How far a nucleus's outline wavers, as a share of its radius."""
    elongation: float
    """Long over short axis of an epithelial nucleus."""
    cell_um: float
    """Distance between neighboring epithelial nuclei."""
    stroma_cell_um: float
    """Distance between neighboring nuclei of the stroma."""
    disorder: float
    """0: nuclei in a ring around the lumen; 1: scattered over the whole nest."""
    gland_irregularity: float
    """How far a gland's outline wavers."""
    fiber_um: float
    """Median length of a collagen fiber."""
    fiber_spread: float
    """Standard deviation of a fiber's direction around the patient's, in radians."""
    crimp_um: float
    """Amplitude of the waves of a fiber."""


NORMAL = Texture(
    nucleus_um=5.4,
    size_spread=0.08,
    irregularity=0.04,
    elongation=1.2,
    cell_um=7.0,
    stroma_cell_um=15.0,
    disorder=0.05,
    gland_irregularity=0.04,
    fiber_um=90.0,
    fiber_spread=0.12,
    crimp_um=1.6,
)
TUMOR = Texture(
    nucleus_um=8.4,
    size_spread=0.25,
    irregularity=0.16,
    elongation=1.5,
    cell_um=8.0,
    stroma_cell_um=12.0,
    disorder=1.0,
    gland_irregularity=0.16,
    fiber_um=30.0,
    fiber_spread=1.2,
    crimp_um=0.3,
)


def textures(difficulty: float) -> tuple[Texture, Texture]:
    """Normal and tumor texture; both move to their mean, which they reach at `difficulty` 1."""
    return _towards(NORMAL, TUMOR, difficulty / 2), _towards(TUMOR, NORMAL, difficulty / 2)


def _towards(start: Texture, end: Texture, share: float) -> Texture:
    return Texture(
        **{
            field.name: (1 - share) * getattr(start, field.name) + share * getattr(end, field.name)
            for field in fields(Texture)
        }
    )
