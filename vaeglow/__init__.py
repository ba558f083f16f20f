"""vaeglow: Variational Autoencoders with Normalizing Flow Decoders (Morrow & Chiu 2020), reproduced.

What is here is for Python (docs/python.md); the paper's tables and figures are made by the workflow (README.md).
"""

from importlib import import_module
from typing import Any

from vaeglow.errors import UserError

__version__ = "0.1.0"  # of the package, too; CITATION.cff repeats it
LATE = {  # imported at the first use: `import vaeglow` alone loads no torch
    **dict.fromkeys(("Model", "load", "train"), "api"),
    "save_images": "images",
    **{"GlowLayer": "models.glow_layer", "FlowPrior": "models.vae", "Glow": "models.glow"},
}
__all__ = ["UserError", *LATE]
__dir__ = __all__.copy  # what completion offers


def __getattr__(name: str) -> Any:
    """A name of `LATE`; `load` is `Model` by another name."""
    if name not in LATE:
        raise AttributeError(f"module 'vaeglow' has no attribute '{name}'")
    return getattr(import_module(f"vaeglow.{LATE[name]}"), "Model" if name == "load" else name)
