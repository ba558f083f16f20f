"""Everything that can be wrong with a config, found before the first job, and what is said of a legal one.

Keys, types and ranges by the schema, every name it mentions, every model as a preset and a dataset make it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vaeglow.config import plan
from vaeglow.config.layers import (
    ancestry,
    check_base,
    check_training,
    describe_model,
    effective,
    inherited,
    lookup,
    nearest,
    resolve,
)
from vaeglow.config.schema import complete, kinds, read_schema, validate
from vaeglow.errors import UnfitImages, UserError

# Names that results folders take, and what an entry of a section is called.
RESERVED = {
    "datasets": ("tables", "figures", "specs"),
    "models": ("fid_reference",),
    "presets": ("tables", "figures", "data"),
    "tables": ("claims",),
}
NAMED = ("datasets", "models", "protocols", "roles", "tables", "figures", "claims")
FILE_ADDRESS = "file://"
Unfit = dict[tuple[str, ...], str | None]  # {(preset, dataset, model): why it cannot take the images, or None}


def check_config(
    config: Mapping[str, Any], schema_path: str | Path, published_path: str | Path
) -> dict[str, dict[str, Any]]:
    """Check all of a config: keys, types and ranges by the schema, then every name it mentions.

    Args:
        config: config.yaml with its overlays, as Snakemake loads it.
        schema_path: the schema file.
        published_path: resources/published.csv, for the names in its first column.

    Returns:
        `{preset: effective(config, preset)}`; in it a claim on a model that cannot take its dataset's images has the
        reason under `unfit`.

    Raises:
        UserError: the first thing wrong, in one line.
    """
    schema = complete(read_schema(schema_path))
    validate(config, schema)
    lookup(config["presets"], config["preset"], "preset")
    for section, reserved in RESERVED.items():
        for name in set(reserved) & set(config[section]):
            raise UserError(f"config: {section}.{name}: the name is taken by a results folder; choose another")
    check_changes(config)
    for name, model in config["models"].items():
        ancestry(config["models"], name)
        if "base" in model:
            lookup(config["models"], model["base"], "model")
    with open(published_path, encoding="utf-8", newline="") as file:
        published = dict.fromkeys(row["table"] for row in csv.DictReader(file))
    views = {}
    for preset in config["presets"]:
        views[preset] = effective(config, preset)
        with named(f"preset {preset}"):
            validate({**views[preset], "presets": {}, "overrides": {}}, schema)
            check_models(config, schema, preset)
            check_entries(config, views[preset], published)
    return views


@contextmanager
def named(place: str) -> Iterator[None]:
    """Errors raised inside say where."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def check_changes(config: Mapping[str, Any]) -> None:
    """Presets, overrides and a dataset's `models` change only what the top level defines.

    Raises:
        UserError: they name something else; the message names the nearest.
    """
    changes = {"overrides": config["overrides"]} | {f"presets.{name}": c for name, c in config["presets"].items()}
    for where, whole in [*changes.items(), ("", config)]:
        for name, dataset in whole.get("datasets", {}).items():
            changes[f"{where}.datasets.{name}".lstrip(".")] = {"models": dataset.get("models", {})}
    for where, change in changes.items():
        for section in NAMED:
            for name in change.get(section, {}):
                with named(f"config: {where}.{section}"):
                    lookup(config[section], name, section.removesuffix("s"))


def check_models(config: Mapping[str, Any], schema: Mapping[str, Any], preset: str) -> None:
    """Every model, its layers merged, has the keys of its kind: all that it needs, none that it would ignore.

    A model's own entry can be judged only where it stands alone; with `like` and changes of the dataset, the preset
    or the user, only the sum can.

    Raises:
        UserError: an unknown or missing key, or what `check_base` and `check_training` raise.
    """
    model_schema = {"$ref": "#/$defs/model", "$defs": schema["$defs"]}
    passed: list[dict[str, Any]] = []  # a model is often the same on several datasets
    for dataset in config["datasets"]:
        whole = {name: describe_model(config, preset, dataset, name) for name in config["models"]}
        for name, described in whole.items():
            if described in passed:
                continue
            try:
                validate(described, model_schema, f"models.{name}")
            except UserError as error:
                raise UserError(f"{error} (a {described['kind']}, all layers merged, on dataset {dataset})") from error
            passed.append(described)
        for name, described in whole.items():
            check_training(name, described)
            if "base" in described:
                check_base(name, described, whole[described["base"]])


# ------------------------------------------------------------------------------- tables, figures and claims


def check_entries(config: Mapping[str, Any], view: dict[str, Any], published: Collection[str]) -> None:
    """Every table, figure and claim names datasets, protocols and models that exist and fit together.

    Args:
        config: all of it.
        view: of one preset; a claim on a model that cannot take the images gets the reason under `unfit`.
        published: the tables that resources/published.csv has.

    Raises:
        UserError: an unknown name, two equal rows, or a model that cannot give what the entry shows of it.
    """
    for role, dataset in view["roles"].items():
        if role in view["datasets"]:
            raise UserError(f"roles.{role}: a dataset has that name; choose another for the role")
        lookup(view["datasets"], dataset, "dataset")
    unfit: Unfit = {}
    for section in plan.SECTIONS:
        for name in view[section]:
            with named(f"{section}.{name}"):
                check_rows(view, plan.filled_in(view, section, name), published)
                for need in plan.needs(view, section, name):
                    check_need(config, view, need, unfit)
    for name, claim in plan.claims(view).items():
        with named(f"claims.{name}"):
            reasons = check_claim(config, view, claim, unfit) if claim["run"] else []
        if reasons:
            view["claims"][name]["unfit"] = reasons[0]


def check_claim(
    config: Mapping[str, Any], view: Mapping[str, Any], claim: Mapping[str, Any], unfit: Unfit
) -> list[str]:
    """A claim does not contradict itself, and names what exists; see `check_need`.

    Returns:
        Why its models cannot take the images; nothing where they can.

    Raises:
        UserError: a temperature compared with itself, or noise that is the same everywhere.
    """
    if claim["kind"] == "kid_best" and float(claim["temperature"]) in map(float, claim["others"]):
        raise UserError(f"others holds the temperature {claim['temperature']} itself: take it out")
    reasons = [check_need(config, view, need, unfit) for need in plan.claim_needs(view, claim)]
    if claim["kind"] == "noise":
        run = (config, view["preset"], claim["dataset"])
        described = describe_model(*run, claim["model"])
        described = describe_model(*run, described["base"]) if "base" in described else described
        if described["network"]["decoder_noise"] == "isotropic":
            raise UserError(f"model {claim['model']} has isotropic noise, one s(z) everywhere: name one with diagonal")
    return [reason for reason in reasons if reason is not None]


def check_rows(view: Mapping[str, Any], entry: Mapping[str, Any], published: Collection[str]) -> None:
    """An entry's datasets and published rows exist, and no two of its rows are the same.

    Raises:
        UserError: the first thing wrong.
    """
    if (name := entry["published"]) is not None and name not in published:
        near = nearest(name, published)
        raise UserError(f"published '{name}'{near} is not in resources/published.csv, which has {', '.join(published)}")
    seen: list[dict[str, Any]] = []
    for row in entry["rows"]:
        lookup(view["datasets"], row["dataset"], "dataset")
        content = {key: value for key, value in row.items() if key not in ("label", "base")}
        if content in seen:
            raise UserError(f"the row {{{', '.join(f'{key}: {content[key]}' for key in content)}}} stands in it twice")
        seen.append(content)
        if row.get("minus") == {key: value for key, value in content.items() if key != "minus"}:
            raise UserError(f"{row['model']} at {row['temperature']} is compared with itself: name another as `minus`")
        if entry["kind"] == "overview" and (mode := inherited(view, row["model"], "mode")) not in (None, "frozen"):
            raise UserError(f"model {row['model']} has mode {mode}: an overview is of a model trained in two phases")


def check_need(config: Mapping[str, Any], view: Mapping[str, Any], need: Mapping[str, Any], unfit: Unfit) -> str | None:
    """The dataset, protocol and model of a result exist, and such a model can give it.

    A model that cannot take the dataset's images is refused when such a run is planned: someone with grey images need
    not strike the models for colour from every entry.

    Returns:
        Why the model cannot take the images, or None; kept in `unfit`.

    Raises:
        UserError: the first thing wrong.
    """
    lookup(view["protocols"], need["protocol"], "protocol")
    run = (need["preset"], need["dataset"], need["model"])
    if run not in unfit:
        unfit[run] = None
        try:
            resolve(config, *run, view["seeds"][0])
        except UnfitImages as error:
            unfit[run] = str(error)
    kind = inherited(config, need["model"], "kind")
    legal = [name for name, declared in kinds("models").items() if need["what"] in declared.PROBES]  # empty: all
    if legal and kind not in legal:
        what = need["what"].replace("_", " ")
        raise UserError(f"model {need['model']} is a {kind}: only a {' or '.join(legal)} has {what}")
    return unfit[run]


# ------------------------------------------------------------------------------------ files from elsewhere


def outside(config: Mapping[str, Any], home: Path) -> list[str]:
    """A line for each place outside `home` that is read; links are followed before that is decided.

    All that is written lies below `home`: names in the config hold no separators. Reading elsewhere is legal, since
    data often lie elsewhere, but it is said.

    Args:
        config: with `datasets`, and perhaps `evaluation.inception`.
        home: the folder Snakemake runs in.
    """
    declared = [kind.SCHEMA.items() for kind in kinds("datasets").values()]
    places = {key for schemas in declared for key, schema in schemas if schema.get("format") == "path"}
    named: list[tuple[str, str]] = []
    for name, dataset in config.get("datasets", {}).items():
        named += [(f"datasets.{name}.{key}", dataset[key]) for key in dataset if key in places and dataset[key]]
        if not dataset.get("local"):  # else nothing but that is looked at
            sources = [source.removeprefix(FILE_ADDRESS) for source in dataset.get("sources") or ()]
            found = [source for source in sources if "://" not in source and Path(source).expanduser().exists()]
            named += [(f"datasets.{name}.sources", source) for source in found]
    inception = config.get("evaluation", {}).get("inception", {})
    address = (inception.get("url") or {}).get("address", "")
    if inception.get("local"):
        named.append(("evaluation.inception.local", inception["local"]))
    if address.startswith(FILE_ADDRESS):
        named.append(("evaluation.inception.url.address", address.removeprefix(FILE_ADDRESS)))
    real = [(key, (home / Path(value).expanduser()).resolve()) for key, value in named]
    away = [(key, path) for key, path in real if not path.is_relative_to(home.resolve())]
    return [f"note: {key} is outside of this folder: {str(path)!r} is read" for key, path in away]
