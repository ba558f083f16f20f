"""Every table, figure and claim names what exists, and what fits together. Pure: no torch, no snakemake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from vaeglow import config as settings
from vaeglow import entries
from vaeglow.errors import UnfitImages, UserError
from vaeglow.reporting.claims.needs import needed


def check_entries(config: Mapping[str, Any], whole: Mapping[str, Any], preset: str, published: Collection[str]) -> None:
    """Every table, figure and claim names datasets, protocols and models that exist and fit together.

    Args:
        config: all of it.
        whole: `settings.effective(config, preset)`.
        preset: whose tables, figures and claims.
        published: the tables that resources/published.csv has.

    Raises:
        UserError: an unknown name, two equal rows, or a model that cannot give what the entry shows of it.
    """
    check_roles(whole)
    seen: dict[tuple[str, ...], str | None] = {}
    for section in entries.READS:
        for name in whole[section]:
            try:
                entry = entries.complete(whole, preset, section, name)
                check_rows(whole, entry, published)
                for need in entries.needs(whole, preset, section, name):
                    check_need(config, whole, need, seen)
            except UserError as error:
                raise UserError(f"{section}.{name}: {error}") from error
    for name, claim in entries.claims(whole, preset).items():
        try:
            check_claim(config, claim, preset)
            for need in needed(claim) if claim["enabled"] else ():
                unfit = check_need(config, whole, {"preset": preset, "protocol": claim["protocol"], **need}, seen)
                if unfit is not None:
                    whole["claims"][name]["unfit"] = unfit
        except UserError as error:
            raise UserError(f"claims.{name}: {error}") from error


def check_claim(config: Mapping[str, Any], claim: Mapping[str, Any], preset: str) -> None:
    """A claim does not contradict itself.

    Args:
        config: all of it.
        claim: see `entries.claims`.
        preset: whose.

    Raises:
        UserError: a temperature that is to beat itself, or noise that is the same everywhere.
    """
    if claim["kind"] == "kid_best" and float(claim["temperature"]) in map(float, claim["others"]):
        raise UserError(f"others holds the temperature {claim['temperature']} itself, which cannot beat itself")
    if claim["kind"] == "noise" and claim["enabled"]:
        settings.lookup(config["datasets"], claim["dataset"], "dataset")
        described = settings.describe_model(config, preset, claim["dataset"], claim["model"])
        if "base" in described:
            described = settings.describe_model(config, preset, claim["dataset"], described["base"])
        if described.get("network", {}).get("decoder_noise") == "isotropic":
            raise UserError(f"model {claim['model']} has isotropic noise, one s(z) everywhere: name one with diagonal")


def check_roles(whole: Mapping[str, Any]) -> None:
    """Every role stands for a dataset, and none has a dataset's name.

    Raises:
        UserError: it does not, or it has.
    """
    for role, dataset in whole["roles"].items():
        if role in whole["datasets"]:
            raise UserError(f"roles.{role}: a dataset has that name; choose another for the role")
        settings.lookup(whole["datasets"], dataset, "dataset")


def check_rows(whole: Mapping[str, Any], entry: Mapping[str, Any], published: Collection[str]) -> None:
    """An entry's datasets and published rows exist, and no two of its rows are the same.

    Raises:
        UserError: the first thing wrong.
    """
    if (name := entry["published"]) is not None and name not in published:
        near = settings.nearest(name, published)
        raise UserError(f"published '{name}'{near} is not in resources/published.csv, which has {', '.join(published)}")
    seen = set()
    for row in entry["rows"]:
        settings.lookup(whole["datasets"], row["dataset"], "dataset")
        if (content := row_content(row)) in seen:
            raise UserError(f"{content} stands in it twice: take one row out")
        seen.add(content)
        other = row.get("minus")
        if other is not None and all(row[key] == other[key] for key in ("model", "temperature")):
            raise UserError(f"{row_content(other)} is compared with itself: name another as `minus`")
    for row in entry["rows"] if entry["kind"] == "overview" else ():
        if (mode := settings.mode_of(whole, row["model"])) not in (None, "frozen"):
            raise UserError(f"model {row['model']} has mode {mode}: an overview is of a model trained in two phases")


def check_need(
    config: Mapping[str, Any],
    whole: Mapping[str, Any],
    need: Mapping[str, Any],
    seen: dict[tuple[str, ...], str | None],
) -> str | None:
    """The dataset, protocol and model of a result exist, and such a model can give it.

    A model that cannot take the dataset's images is refused when such a run is planned: someone with grey images need
    not strike the models for colour from every entry.

    Args:
        config: all of it.
        whole: `settings.effective(config, preset)`.
        need: see `entries.needs`.
        seen: what was returned for the runs already resolved; this one is added.

    Returns:
        Why the model cannot take the images, or None.

    Raises:
        UserError: the first thing wrong.
    """
    settings.lookup(whole["datasets"], need["dataset"], "dataset")
    settings.lookup(whole["protocols"], need["protocol"], "protocol")
    run = (need["preset"], need["dataset"], need["model"])
    if run not in seen:
        seen[run] = None
        try:
            settings.resolve(config, *run, whole["seeds"][0])
        except UnfitImages as error:
            seen[run] = str(error)
    kind, legal = settings.kind_of(config, need["model"]), entries.MODELS.get(need["what"])
    if legal is not None and kind not in legal:
        what = need["what"].replace("_", " ")
        raise UserError(f"model {need['model']} is a {kind}: {what} is to be had of {' or '.join(legal)} only")
    return seen[run]


def row_content(row: Mapping[str, Any]) -> str:
    """What a row of a table or figure shows, in words; two rows that say the same are the same."""
    if "model" not in row:
        return f"the {row['data']} split of {row['dataset']}"
    temperatures = row.get("temperatures", row.get("temperature"))
    drawn = "" if temperatures is None else f" at temperature {temperatures}"
    other = f", minus {row_content(row['minus'])}" if "minus" in row else ""
    return f"{row['model']} on {row['dataset']} (preset {row['preset']}){drawn}{other}"
