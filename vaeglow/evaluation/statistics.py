"""Statistics of features in a file: `.npz` with `mu` and `sigma`, as pytorch-fid's `--save-stats` writes them."""

from pathlib import Path

import numpy as np

from vaeglow.data.arrays import Arrays
from vaeglow.errors import UserError
from vaeglow.files import DAMAGED, atomic_path, unreadable


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
    except DAMAGED as error:
        raise unreadable(error, path, f"{path} is damaged: write it again") from error
    if mean.shape != (features,) or covariance.shape != (features, features):
        shapes = f"{list(mean.shape)} and {list(covariance.shape)}"
        raise UserError(f"{path}: mu and sigma are {shapes}, not of {features} features: give statistics of these")
    finite = np.isfinite(mean).all() and np.isfinite(covariance).all()
    if not finite or not np.allclose(covariance, covariance.T) or (covariance.diagonal() < 0).any():
        raise UserError(f"{path}: mu and sigma are not a finite mean and covariance: write the file again")
    return {"mean": mean, "covariance": covariance}


def write_statistics(path: Path, statistics: Arrays) -> None:
    """Write the `mean` and `covariance` of features as pytorch-fid reads them, in float64."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, mu=statistics["mean"], sigma=statistics["covariance"])
