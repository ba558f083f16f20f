"""vaeglow: Variational Autoencoders with Normalizing Flow Decoders (Morrow & Chiu 2020), reproduced.

`vaeglow.load(path)` gives a trained model; everything else is run by the workflow (see README.md).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from vaeglow.errors import UserError

if TYPE_CHECKING:
    from vaeglow.api import Model

__all__ = ["UserError", "load"]


def load(path: str | Path, device: str = "auto") -> "Model":
    """Load a trained model from its one self-describing file.

    Args:
        path: a `model.safetensors` that a training step wrote.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UserError: the file is missing, truncated or of another kind, or there is no such device.
    """
    from vaeglow.api import Model  # imported late: `import vaeglow` alone loads no torch

    return Model(path, device)
