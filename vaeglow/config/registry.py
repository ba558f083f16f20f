"""The kinds of datasets, models, probes, tables, figures and claims: one registry, which needs no torch.

A kind is a module, a class, a function or a `Probe` with a docstring, whose first line describes it in
config/README.md, and a `SCHEMA`: its own keys in config, by the words of `vaeglow.config.keys`.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from vaeglow.files import Config, Facts
from vaeglow.training.keys import TRAINING

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


@cache
def kinds_of(section: str) -> Facts:
    """What declares each kind of a section of `HOMES`, by the kind's name in config."""
    home = import_module(HOMES[section])
    if hasattr(home, "KINDS"):
        return home.KINDS
    members = list(vars(home).values())
    if hasattr(home, "__path__"):
        names = [module.name for module in iter_modules(home.__path__)]
        members = [import_module(f"{home.__name__}.{name}") for name in names]
    return {member.__name__.rpartition(".")[2]: member for member in members if hasattr(member, "SCHEMA")}


@cache
def neutral_values(kind: str) -> Facts:
    """The neutral values of a kind of model's own keys and of `training`, nested as they are in a resolved config.

    `config.json` lacks a key at its neutral value, so that the run's hash, and all that goes by it, is what it was
    before the key existed. A model is built and trained by the config with all of them (`vaeglow.config.with_neutral`).
    """
    own = getattr(kinds_of("models").get(kind), "SCHEMA", {})
    return declared_neutral({**own, "training": {"properties": TRAINING}})


def declared_neutral(keys: Config) -> Facts:
    """The neutral values among these declarations, and among those inside them."""
    values = {}
    for key, schema in keys.items():
        value = schema.get("neutral", declared_neutral(schema.get("properties", {})))
        if value != {}:
            values[key] = value
    return values
