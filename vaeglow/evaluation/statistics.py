"""Statistics of features in a file: `.npz` with `mu` and `sigma`, as pytorch-fid's `--save-stats` writes them."""

from pathlib import Path

import numpy as np

from vaeglow.data.arrays import Arrays
from vaeglow.errors import UserError
from vaeglow.files import DAMAGED, atomic_path


def read_statistics(path: Path, features: int) -> Arrays:
    """`mean` [F] and `covariance` [F, F], float64, from a file of statistics; of any other file nothing.

    Raises:
        UserError: they are damaged, not finite, or of another number of features.
    """
    if path.suffix != ".npz":
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not {"mu", "sigma"} <= {*archive.files}:
                return {}
            mean = archive["mu"].astype(np.float64)
            covariance = archive["sigma"].astype(np.float64)
    except DAMAGED:  # whoever reads its images says what is wrong
        return {}
    if mean.shape != (features,) or covariance.shape != (features, features):
        shapes = f"{list(mean.shape)} and {list(covariance.shape)}"
        raise UserError(f"{path}: mu and sigma are {shapes}, not of {features} features: give statistics of these")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{path}: mu or sigma is not finite: write the file again")
    return {"mean": mean, "covariance": covariance}


def write_statistics(path: Path, statistics: Arrays) -> None:
    """Write the `mean` and `covariance` of features as pytorch-fid reads them, in float64."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, mu=statistics["mean"], sigma=statistics["covariance"])
