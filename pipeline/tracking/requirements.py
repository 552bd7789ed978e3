"""Packages that a registered model needs to serve patches and to predict slides, pinned as tested."""

from importlib.metadata import version

REQUIREMENTS = (
    "aiohttp",
    "dask-jobqueue",
    "defusedxml",
    "distributed",
    "fsspec",
    "google-crc32c",
    "imagecodecs",
    "jinja2",
    "mlflow",
    "monai",
    "numpy",
    "opencv-python-headless",
    "openslide-bin",
    "openslide-python",
    "orjson",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "rich",
    "safetensors",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "shapely",
    "tensorstore",
    "threadpoolctl",
    "tifffile",
    "torch",
    "zarr",
)
"""Those of the project's dependencies that serving and `evenpatch predict` import; a test says which."""


def pinned_requirements() -> list[str]:
    """`name==version` of every package; evenpatch's own code travels with the model."""
    # A local version such as +cpu is on no index.
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]
