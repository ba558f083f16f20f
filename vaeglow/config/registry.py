"""The kinds of datasets, models, probes, tables, figures and claims: one registry, which needs no torch.

A kind is a module, a class, a function or a `Probe` with a docstring, whose first line describes it in
config/README.md, and a `SCHEMA`: its own keys in config, by the words of `vaeglow.config.keys`.
"""

import functools
import importlib
import pkgutil
from typing import Any

# Where the kinds of a section are declared: a module that lists them in `KINDS`; else all modules of a package, or all
# classes and functions of a module, that have a `SCHEMA`.
HOMES = {
    "datasets": "vaeglow.data",
    "models": "vaeglow.models.kinds",
    "probes": "vaeglow.evaluation.probes",
    "tables": "vaeglow.reporting.tables",
    "figures": "vaeglow.reporting.figures",
    "claims": "vaeglow.reporting.claims.kinds",
}


@functools.cache
def kinds_of(section: str) -> dict[str, Any]:
    """What declares each kind of a section of `HOMES`, by the kind's name in config."""
    home = importlib.import_module(HOMES[section])
    if hasattr(home, "KINDS"):
        return home.KINDS
    members = list(vars(home).values())
    if hasattr(home, "__path__"):
        names = [module.name for module in pkgutil.iter_modules(home.__path__)]
        members = [importlib.import_module(f"{home.__name__}.{name}") for name in names]
    declared = [member for member in members if hasattr(member, "SCHEMA")]
    return {member.__name__.rpartition(".")[2]: member for member in declared}
