"""Which results each kind of claim reads. Pure: no torch, no pandas; planning asks here.

What a claim's entry in config holds, kind by kind, beside the keys that all have:

    kid           better, worse {model, temperature}, factor     factor x KID of `worse` - KID of `better`
    kid_same      one, other {model, temperature}, margin        1 - KID of `one` / KID of `other`
    kid_best      model, temperature, others [temperatures]      least KID at `others` - KID at `temperature`
    kid_gain      more, less, temperatures [from, to]            fall of KID of `more` - fall of KID of `less`
    kept          more, less, temperatures [from, to], measure   share kept by `more` - share kept by `less`
    bits          better, worse, reference_model (optional)      bits/dim of `worse` - bits/dim of `better`
    speed         slow [models], fast [models], networks         time of `slow` / time of `fast`
    noise         model                                          rank correlation of s(z) and error
    information   higher, lower, value                           `value` of `higher` - `value` of `lower`
    layer         model, value                                   sharpening, or share of images that keep their content
    smooth        model, space                                   mean step / largest step of an interpolation
    quality_time  ours, theirs [{model, temperature}]            KID of `theirs` - KID of `ours` at one training time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Need = dict[str, Any]


def needed(entry: Mapping[str, Any]) -> list[Need]:
    """The results that a claim reads under each seed.

    Args:
        entry: of `claims` in config, its dataset a real one.

    Returns:
        `{"what": a key of vaeglow.paths.RESULTS, "model", "dataset"}`, with `temperature`, `space` or `preset` where
        they are other than what the caller knows; the caller adds preset, protocol and seed. A FID reference belongs to
        no model: its need names one that is measured against it.
    """
    kind = entry["kind"]
    if kind == "bits":
        found = each(("likelihood", "likelihood_images"), [{"model": entry[role]} for role in ("better", "worse")])
        if "reference_model" in entry:
            found.append({"what": "linear_reference", "model": entry["reference_model"]})
    elif kind == "speed":
        rows = [{"model": model, "preset": entry["networks"]} for model in (*entry["slow"], *entry["fast"])]
        found = each(("timing",), rows)
    elif kind == "noise":
        found = [{"what": "noise_maps", "model": entry["model"]}]
    elif kind == "information":
        found = each(("latents",), [{"model": entry[role]} for role in ("higher", "lower")])
    elif kind == "layer":
        found = [{"what": "layer_action", "model": entry["model"]}]
    elif kind == "smooth":
        found = [{"what": "interpolation", "model": entry["model"], "space": entry["space"]}]
    elif kind == "quality_time":
        found = each(("snapshots",), [*entry["ours"], *entry["theirs"]])
    else:
        rows = drawn_rows(entry)
        found = [*each(("features", "metrics"), rows), {"what": "reference", "model": rows[0]["model"]}]
    return [{"dataset": entry["dataset"], **need} for need in found]


def each(kinds: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> list[Need]:
    """Every kind of result of every row."""
    kinds = tuple(kinds)
    return [{"what": what, **row} for row in rows for what in kinds]


def drawn_rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sample sets, `{"model", "temperature"}` each, that a claim on sample quality compares."""
    kind = entry["kind"]
    if kind == "kid":
        return [dict(entry["better"]), dict(entry["worse"])]
    if kind == "kid_same":
        return [dict(entry["one"]), dict(entry["other"])]
    if kind == "kid_best":
        return [{"model": entry["model"], "temperature": t} for t in (entry["temperature"], *entry["others"])]
    if kind in ("kid_gain", "kept"):
        models = (entry["more"], entry["less"])
        return [{"model": model, "temperature": t} for model in models for t in entry["temperatures"]]
    raise ValueError(f"no claim of kind '{kind}'")
