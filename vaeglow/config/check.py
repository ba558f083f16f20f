"""Everything that can be wrong with a config, found before the first job, and the outside paths that it reads.

Keys, types and ranges by the schema, every name it mentions, every model as a preset and a dataset make it.
"""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from vaeglow.config import (
    SHOWN,
    config_file,
    describe_model,
    inherited,
    lookup,
    merge,
    plan,
    read_config,
    read_layer,
    resolve,
    several,
    view_of,
    without,
)
from vaeglow.config.origins import flat
from vaeglow.config.registry import kinds_of
from vaeglow.config.schema import complete, read_schema, validate
from vaeglow.errors import UnfitImages, UserError
from vaeglow.files import Config, Facts, local_path, read_csv
from vaeglow.paths import shipped
from vaeglow.reporting.claims import SEEDLESS, needed


def check_config(config: Config, schema_path: Path, published_path: Path) -> dict[str, Facts]:
    """Check all of a config: keys, types and ranges by the schema, then every name it mentions.

    Args:
        config: `vaeglow.config.read_config`, with its overlays.
        schema_path: the schema file.
        published_path: resources/published.csv, for the names in its first column.

    Returns:
        `{preset: view_of(config, preset)}`, each with the models that cannot take a dataset's images under `unfit`.

    Raises:
        UserError: the first thing wrong, in one line.
    """
    try:
        published = dict.fromkeys(row["table"] for row in read_csv(published_path))
    except (UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UserError(f"{published_path} is not a UTF-8 CSV with a column 'table' ({error!r}): restore it") from None
    schema = complete(read_schema(schema_path), config, published)
    validate(config, schema)
    lookup(config["presets"], config["preset"], "preset")
    for name in config.get("only") or ():
        lookup(merge(*(config[section] for section in SHOWN)), name, "table, figure or claim")
    views = {preset: view_of(config, preset) for preset in config["presets"]}
    unfit = {}
    for preset, view in views.items():
        with named(f"preset {preset}"):
            validate({**view, "presets": {}, "overrides": {}}, schema)
            unfit |= check_models(config, view, schema)
    for preset, view in views.items():
        view["unfit"] = unfit  # `plan` leaves out what is of these
        with named(f"preset {preset}"):
            check_entries(views, view)
    if config.get("registration"):
        check_registered(Path(config["registration"]), views)
    return views


def present_config() -> Facts:
    """The config without an overlay: the working folder's if all its files are there, else the package's."""
    return read_config(partial(config_file, shipped, True))


def check_registered(overlay: Path, views: Config) -> None:
    """The registered claims, filled in, are those of their overlay: none is changed, added, or left out of some.

    Raises:
        UserError: one is, or the overlay cannot be read.
    """
    whole = merge(present_config(), read_layer(overlay))
    preset = whole["preset"]
    registered = registered_claims(view_of(whole, preset))
    claims = registered_claims(views[preset])
    for name in {**registered, **claims} if claims else ():
        if claims.get(name) != registered.get(name):
            raise UserError(
                f"claims.{name} is not as {overlay} registers it: give it no key but 'measured' and 'missing'"
            )


def registered_claims(view: Config) -> dict[str, Facts]:
    """The registered claims of a preset with all that is measured for them, by name."""
    progress = dict.fromkeys(("measured", "missing", "run", "unfit"))
    return {name: without(claim, progress) for name, claim in plan.claims(view).items() if "registered" in claim}


@contextmanager
def named(place: str) -> Iterator[None]:
    """Adds the place to errors raised inside."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def check_models(config: Config, view: Config, schema: Config) -> dict[Any, Any]:
    """Check that every model, its layers merged, has exactly the keys of its kind.

    A model's own entry cannot be checked alone: `like`, the dataset, the preset and the user add to it.

    Returns:
        `{(preset, dataset, model): why it cannot take the images}`. Such a run is refused when it is planned, so that
        entries may name models for colour where the images are grey.
    """
    model_schema = {"$ref": "#/$defs/model", "$defs": schema["$defs"]}
    passed: list[Facts] = []  # a model is often the same on several datasets
    unfit = {}
    for dataset in config["datasets"]:
        known = {name: describe_model(config, view["preset"], dataset, name) for name in config["models"]}
        for name, described in known.items():
            if described not in passed:
                with named(f"a {described.get('kind')} on dataset {dataset}"):
                    validate(described, model_schema, f"models.{name}")
                passed.append(described)
        for name in config["models"]:
            try:
                resolve(config, view["preset"], dataset, name, view["seeds"][0], known)
            except UnfitImages as error:
                unfit[view["preset"], dataset, name] = error
    return unfit


def check_entries(views: Config, view: Config) -> None:
    """Every role, table, figure and claim of a preset names what exists and fits together; `views` are all presets'."""
    for role, dataset in view["roles"].items():
        if role in view["datasets"]:
            raise UserError(f"roles.{role}: a dataset has that name; choose another for the role")
        lookup(view["datasets"], dataset, "dataset")
    for section in plan.SECTIONS:
        for name in view[section]:
            with named(f"{section}.{name}"):
                entry = plan.filled_in(view, section, name)
                if not entry["seeds"]:
                    raise UserError(
                        f"seeds: the config has {several(map(str, view['seeds']))} only: take some of these"
                    )
                for row in entry["rows"]:
                    lookup(view["datasets"], row["dataset"], "dataset")
                for need in plan.needs(view, section, name):
                    check_need(views, view, need)
    for name, claim in plan.claims(view).items():
        with named(f"claims.{name}"):
            if claim.get("temperature") in claim.get("others", ()):
                raise UserError(f"others contains the temperature {claim['temperature']} itself: remove it")
            if "registered" in claim and "seeds" not in claim:
                raise UserError("a registered claim lists its 'seeds'")
            if "registered" in claim and claim["kind"] in SEEDLESS:
                raise UserError(f"a claim of kind {claim['kind']} has no seeds: it cannot be registered")
            lookup(views, claim.get("needs", view["preset"]), "preset")
            for need in needed(claim) if claim["run"] else ():
                check_need(views, view, need)


def check_need(views: Config, view: Config, need: Config) -> None:
    """The preset, dataset, protocol and model of a result exist, and such a model can give it."""
    lookup(views, need["preset"], "preset")
    for section in ("protocol", "dataset", "model"):
        lookup(view[f"{section}s"], need[section], section)
    models = kinds_of("models")
    name = inherited(view, need["model"], "kind")
    model = f"model {need['model']} is a {name}"
    legal = [other for other, kind in models.items() if need["what"] in kind.PROBES]  # empty: all
    if legal and name not in legal:
        raise UserError(f"{model}: only a {' or '.join(legal)} has {need['what'].replace('_', ' ')}")
    if need["what"] == "likelihood_images" and models[name].OBJECTIVE != "bits_per_dim":
        raise UserError(f"{model}, without a likelihood: leave it out")
    temperature = need.get("temperature", 1.0)
    if not models[name].TEMPERATURE and temperature != 1:
        raise UserError(f"{model}, without a temperature: write 1.0, not {temperature}")


def outside(config: Config, home: Path) -> list[str]:
    """A line for each file or folder outside `home` that is read; links are followed before that is decided.

    All that is written lies below `home`: names in the config hold no separators. Reading elsewhere is allowed.

    Args:
        config: with `datasets` and `evaluation`.
        home: the folder that Snakemake runs in.
    """
    values = flat({section: config[section] for section in ("evaluation", "datasets")})
    lines = []
    for place, value in values.items():
        if place.endswith(".sources") and values.get(place.removesuffix("sources") + "local"):
            continue  # `local` replaces them
        for text in value if isinstance(value, list) else [value]:
            path = Path(os.path.realpath(home / local_path(str(text))))
            if os.path.exists(path) and not path.is_relative_to(home.resolve()):
                lines.append(f"note: {place} is outside this folder: {str(path)!r} is read")
    return lines
