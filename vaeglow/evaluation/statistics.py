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
            mean = archive["mu"]
            covariance = archive["sigma"]
    except DAMAGED as error:
        raise unreadable(error, path, f"{path} is damaged: write it again") from error
    if mean.shape != (features,) or covariance.shape != (features, features):
        shapes = f"{list(mean.shape)} and {list(covariance.shape)}"
        raise UserError(f"{path}: mu and sigma are {shapes}, not of {features} features: give statistics of these")
    for name, values in (("mu", mean), ("sigma", covariance)):
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise UserError(f"{path}: {name} is not of finite floating-point numbers: write the file again")
    if not np.allclose(covariance, covariance.T) or (covariance.diagonal() < 0).any():
        raise UserError(f"{path}: sigma is not a covariance: write the file again")
    return {"mean": mean.astype(np.float64), "covariance": covariance.astype(np.float64)}


def write_statistics(path: Path, statistics: Arrays) -> None:
    """Write the `mean` and `covariance` of features as pytorch-fid reads them, in float64."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, mu=statistics["mean"], sigma=statistics["covariance"])
