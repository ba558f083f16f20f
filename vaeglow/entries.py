"""What one table, figure or claim is made of: its entry in config with every name filled in, and the files it reads.

Pure: no torch, no snakemake. An entry names datasets by role (`main`), may leave its protocol to the preset, and its
rows may leave their dataset to the entry; here all of that is settled once, for planning, checking and reporting.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from vaeglow import config as settings
from vaeglow.reporting import tables
from vaeglow.reporting.claims.needs import needed

# What each kind of entry reads of every row (keys of `vaeglow.paths.RESULTS`).
TABLES = {name: kind.READS for name, kind in tables.KINDS.items()}
FIGURES = {
    "sample_sheet": ("samples",),
    "side_by_side": ("samples",),
    "overview": ("config", "training"),
    "sharpening": ("layer_draws",),
    "interpolation": ("interpolation",),
    "temperature": ("metrics",),
    "quality_time": ("snapshots", "config"),
    "linear_reference": ("likelihood", "config"),
    "noise_maps": ("noise_maps",),
    "spectrum": ("layer_action",),
    "ablation": ("metrics", "likelihood"),
    "importance_bound": ("likelihood", "likelihood_images"),
    "nearest_training": ("nearest_training",),
}
READS = {"tables": TABLES, "figures": FIGURES}
PROTOCOL = {"sets": 1, "stretch": False}  # what a protocol says where it leaves the key out
WIDE = ("information",)  # kinds whose rows keep several temperatures; elsewhere such a row becomes several rows
# The kinds of model that a kind of result can be had of; others: of all.
MODELS = {
    "latents": ("vae", "vae_glow"),
    "layer_draws": ("vae_glow",),
    "layer_action": ("vae_glow",),
    "interpolation": ("vae", "vae_glow"),
    "noise_maps": ("vae", "vae_glow"),
    "linear_reference": ("vae",),
}


def real_dataset(whole: Mapping[str, Any], name: str) -> str:
    """The dataset behind a role of the preset (`main`), or the name itself."""
    return whole["roles"].get(name, name)


def protocol_of(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    """How FIDs are measured: `split`, `images`, `features`, `sets` and `stretch` of a protocol.

    Raises:
        UserError: no such protocol.
    """
    return {**PROTOCOL, **settings.lookup(whole["protocols"], name, "protocol")}


def complete(whole: Mapping[str, Any], preset: str, section: str, name: str) -> dict[str, Any]:
    """An entry of `tables` or `figures` with everything filled in.

    Args:
        whole: `settings.effective(config, preset)`.
        preset: its name.
        section: `tables` or `figures`.
        name: of the entry.

    Returns:
        The entry's own keys, with `name`, `preset`, `seeds`, `seed` (the first), `dataset`, `protocol` and the
        protocol's values; each row has `dataset` and `preset`, a row on a VAE also `base`.

    Raises:
        UserError: no such protocol or model.
    """
    entry = copy.deepcopy(dict(whole[section][name]))
    dataset = real_dataset(whole, entry.get("dataset", "main"))
    protocol = entry.get("protocol") or whole["evaluation"]["protocol"]
    rows: list[dict[str, Any]] = []
    for row in entry["rows"]:
        for scale in entry.get("presets") or [preset]:
            full = {**row, "dataset": real_dataset(whole, row.get("dataset", dataset)), "preset": scale}
            model = full.get("model")
            if model is not None and (base := base_of(whole, model)) is not None:
                full["base"] = base
            if "temperature" in full:
                full["temperature"] = float(full["temperature"])
            if "minus" in full:  # a pair: the other side is of the same dataset
                other = full["minus"]
                full["minus"] = {**other, "dataset": full["dataset"], "preset": scale}
                full["minus"]["temperature"] = float(other["temperature"])
            temperatures = full.pop("temperatures", None) if entry["kind"] not in WIDE else None
            rows += [full] if temperatures is None else [{**full, "temperature": float(t)} for t in temperatures]
    if not any(entry["rows"].count(row) > 1 for row in entry["rows"]):  # two roles may be one dataset
        rows = [row for index, row in enumerate(rows) if row not in rows[:index]]
    return {
        **entry,
        "name": name,
        "preset": preset,
        "seeds": whole["seeds"],
        "seed": whole["seeds"][0],
        "dataset": dataset,
        "protocol": protocol,
        **protocol_of(whole, protocol),
        "published": entry.get("published"),
        "styles": styles(whole),
        "rows": rows,
    }


def styles(whole: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What models are called and drawn with: model -> its `label`, `color` and `marker`, those that it has."""
    return {
        name: {key: model[key] for key in ("label", "color", "marker") if key in model}
        for name, model in whole["models"].items()
    }


def base_of(whole: Mapping[str, Any], model: str) -> str | None:
    """The model that this one names as its base, its own or by `like`; None for one that stands alone."""
    named = [whole["models"][name].get("base") for name in settings.ancestry(whole["models"], model)]
    return next((base for base in reversed(named) if base is not None), None)


def needs(whole: Mapping[str, Any], preset: str, section: str, name: str) -> list[dict[str, Any]]:
    """The results that a table or figure reads, each once.

    Returns:
        `{"what", "preset", "dataset", "protocol", "model"}`, with a `temperature` or `space` where its path has one.
    """
    entry = complete(whole, preset, section, name)
    found = []
    for row in entry["rows"]:
        for side in (row, row["minus"]) if "minus" in row else (row,):
            for what in READS[section][entry["kind"]] if "model" in side else ():
                found += list(of_row(entry, side, what))
        if entry["kind"] == "overview" and "base" in row:
            found.append({**shared(entry, row), "what": "training", "model": row["base"]})
    if "reference_model" in entry:
        row = {"dataset": entry["dataset"], "preset": preset, "model": entry["reference_model"]}
        found.append({**shared(entry, row), "what": "linear_reference"})
    return list({tuple(sorted(need.items())): need for need in found}.values())


def of_row(entry: Mapping[str, Any], row: Mapping[str, Any], what: str) -> Iterator[dict[str, Any]]:
    """One kind of result of one row: one for each of its temperatures."""
    need = {**shared(entry, row), "what": what}
    if what == "interpolation":
        need["space"] = entry["space"]
    if what not in ("metrics", "features", "samples", "snapshots", "nearest_training"):
        yield need
        return
    for temperature in row.get("temperatures") or [row["temperature"]]:
        yield {**need, "temperature": float(temperature)}


def shared(entry: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What all results of one row have in common."""
    return {key: row[key] for key in ("preset", "dataset", "model")} | {"protocol": entry["protocol"]}


def claims(whole: Mapping[str, Any], preset: str) -> dict[str, dict[str, Any]]:
    """All claims with real dataset names and a protocol, as the step `claims` takes them; `run`: it is measured."""
    found = {}
    for name, entry in whole["claims"].items():
        entry = copy.deepcopy(dict(entry))
        protocol = entry.get("protocol") or whole["evaluation"]["protocol"]
        if "dataset" in entry:
            entry["dataset"] = real_dataset(whole, entry["dataset"])
        found[name] = {
            **entry,
            "run": entry["enabled"] and "unfit" not in entry,
            "protocol": protocol,
            **protocol_of(whole, protocol),
        }
    return found


def claim_needs(whole: Mapping[str, Any], preset: str) -> list[dict[str, Any]]:
    """The results that all claims that are measured read, each once; see `needs`."""
    found = []
    for entry in claims(whole, preset).values():
        if entry["run"]:
            for need in needed(entry):
                found.append({"preset": preset, "protocol": entry["protocol"], **need})
    return list({tuple(sorted(need.items())): need for need in found}.values())


def all_needs(whole: Mapping[str, Any], preset: str) -> list[dict[str, Any]]:
    """The results that any table, figure or claim of a preset reads."""
    found = [need for section in READS for name in whole[section] for need in needs(whole, preset, section, name)]
    return found + claim_needs(whole, preset)
