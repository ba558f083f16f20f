"""What tables, figures and claims consist of, and the runs and files they need, for the workflow.

A `view` is the checked config as one preset sees it (`vaeglow.config.effective`). An entry of it names datasets by role
(`main`), may leave its protocol to the preset, and its rows may leave their dataset to the entry; here all of that is
filled in once, for planning, checking and reporting. A `need` is one result that an entry reads:
`{"what": a key of vaeglow.paths.RESULTS, "preset", "dataset", "model", "protocol", "seeds"}`, with a `temperature` or
`space` where its path has one.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from vaeglow.config import inherited, lookup, merge, phases, resolve
from vaeglow.config.schema import kinds
from vaeglow.errors import UnfitGrey, UnfitImages
from vaeglow.models.kinds import KINDS
from vaeglow.paths import RESULTS, result_path
from vaeglow.reporting.claims import needed, seeds_of
from vaeglow.reporting.style import PALETTE

View = Mapping[str, Any]
SECTIONS = ("tables", "figures")
SHOWN = 36  # images of a sample set that are kept for figures; more where one shows more
MARKERS = ("*", "8", "H", "1", "2", "3", "4", "+")  # of models that have none in config


def one_of(names: Iterable[Any]) -> str:
    """A regular expression for Snakemake's `wildcard_constraints` that matches these names only."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


# ---------------------------------------------------------------------------------- entries, all filled in


def protocol(view: View, name: str) -> dict[str, Any]:
    """How FIDs are measured: `split`, `images`, `features` and `sets` of a protocol."""
    return {"sets": 1, **lookup(view["protocols"], name, "protocol")}


def measured_by(view: View, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The `protocol` of an entry, the preset's own where it names none, with that protocol's values."""
    name = entry.get("protocol") or view["evaluation"]["protocol"]
    return {"protocol": name, **protocol(view, name)}


def filled_in(view: View, section: str, name: str) -> dict[str, Any]:
    """An entry of `tables` or `figures` with everything filled in.

    Returns:
        The entry's own keys, with `name`, `preset`, `seeds` (`seeds_of`; of a figure without `ERRORS` the first),
        `dataset`, `protocol` and the protocol's values; each row has `dataset` and `preset`, a row of a model with a
        base also `base`. Rows of a model that takes colour images only are left out on grey ones, for the reasons in
        `left_out`.
    """
    entry, roles = merge(view[section][name]), view["roles"]
    dataset, seeds = entry.get("dataset", "main"), seeds_of(entry, view["seeds"])
    wide = kinds(section)[entry["kind"]].SCHEMA["rows"].get("$ref") == "#/$defs/several_temperatures_rows"
    rows: list[dict[str, Any]] = []
    for row in entry["rows"]:
        for preset in entry.get("presets") or [view["preset"]]:
            of = row.get("dataset", dataset)
            where = {"dataset": roles.get(of, of), "preset": preset}
            full = {**row, **where}
            if "model" in full and (base := inherited(view, full["model"], "base")) is not None:
                full["base"] = base
            if "minus" in full:  # a pair: both are of the same dataset
                full["minus"] = {**full["minus"], "temperature": float(full["minus"]["temperature"]), **where}
            several = [] if wide else full.pop("temperatures", [])  # such a row becomes several
            temperatures = several or ([full["temperature"]] if "temperature" in full else [])
            rows += [{**full, "temperature": float(t)} for t in temperatures] or [full]
    rows = [row for index, row in enumerate(rows) if row not in rows[:index]]  # two roles may be one dataset
    grey = [unfit(view, (row, {**row, **row.get("minus", {})}), UnfitGrey) for row in rows]
    if any(grey) and not all(grey):  # of no row at all that model's run is the error
        rows = [row for row, reasons in zip(rows, grey, strict=True) if not reasons]
        entry["left_out"] = list(dict.fromkeys(reasons[0] for reasons in grey if reasons))
    every = section == "tables" or hasattr(kinds(section)[entry["kind"]], "ERRORS")
    return {
        **entry,
        "name": name,
        "preset": view["preset"],
        "seeds": seeds if every else seeds[:1],
        "dataset": roles.get(dataset, dataset),
        **measured_by(view, entry),
        "published": entry.get("published"),
        "rows": rows,
    }


def claims(view: View) -> dict[str, dict[str, Any]]:
    """All claims with a preset, a real dataset and a protocol, as their step takes them; `run`: it is measured."""
    found = {}
    for name, entry in view["claims"].items():
        entry = merge({"enabled": True}, entry, measured_by(view, entry), {"preset": view["preset"]})
        entry["dataset"] = view["roles"].get(entry["dataset"], entry["dataset"])
        run = entry["enabled"] and "missing" not in entry and entry.get("needs", view["preset"]) == view["preset"]
        reasons = unfit(view, needed(entry)) if run else []
        found[name] = {**entry, **({"unfit": reasons[0]} if reasons else {}), "run": run and not reasons}
    return found


def unfit(view: View, rows: Iterable[Mapping[str, Any]], error: type[UnfitImages] = UnfitImages) -> list[str]:
    """The reasons why models of rows or needs cannot take their dataset's images, one for each that cannot."""
    keys = [(row["preset"], row["dataset"], row.get("model")) for row in rows]
    return [str(view["unfit"][key]) for key in keys if isinstance(view.get("unfit", {}).get(key), error)]


def needs(view: View, section: str, name: str | None = None) -> list[dict[str, Any]]:
    """What a table, a figure or (without a name) all claims that are measured read, each need once."""
    if section == "claims":
        found = []
        for claim in claims(view).values():
            seeds = tuple(seeds_of(claim, view["seeds"]))
            found += [{**need, "seeds": seeds} for need in needed(claim)] if claim["run"] else []
    else:
        entry, found = filled_in(view, section, str(name)), []
        shared = {"protocol": entry["protocol"], "seeds": tuple(entry["seeds"])}
        kind = kinds(section)[entry["kind"]]
        sides = [side for row in entry["rows"] for side in (row, row.get("minus")) if side and "model" in side]
        wanted = [(what, side) for side in sides for what in kind.READS]
        for row in entry["rows"] if hasattr(kind, "OF_BASES") else ():
            base = row.get("base")
            while base is not None:
                wanted += [(what, {**row, "model": base}) for what in kind.OF_BASES]
                base = inherited(view, base, "base")
        wanted += [(need["what"], need) for need in (kind.needs(entry) if hasattr(kind, "needs") else ())]
        for what, row in wanted:
            need = {"what": what, **shared} | {k: row[k] for k in ("preset", "dataset", "model")}
            if "{space}" in RESULTS[what]:
                need["space"] = entry["space"]
            temperatures = row.get("temperatures") or [row.get("temperature")]
            at = [{"temperature": float(one)} for one in temperatures] if "{temperature}" in RESULTS[what] else [{}]
            found += [need | one for one in at]
    return list({tuple(sorted(need.items())): need for need in found}.values())  # each once


def all_needs(view: View) -> list[dict[str, Any]]:
    """What any table, figure or claim of a preset reads."""
    of_entries = [need for section in SECTIONS for name in view[section] for need in needs(view, section, name)]
    return of_entries + needs(view, "claims")


def spec(view: View, section: str, name: str = "claims") -> dict[str, Any]:
    """All that the step `table`, `figure` or `claims` needs to find, check and name its files.

    Returns:
        Of a table or figure `filled_in`; of the claims `{"preset", "seeds", "claims"}`. Both have `styles`, the look of
        each model that is shown: `{model: {"label", "color", "marker"}}`, and `temperature` false where it has none.
    """
    if section == "claims":
        content: dict[str, Any] = {"preset": view["preset"], "seeds": view["seeds"], "claims": claims(view)}
        models = [need["model"] for claim in content["claims"].values() for need in needed(claim)]
    else:
        content = filled_in(view, section, name)
        models = [need["model"] for need in needs(view, section, name)]
        models += [row["base"] for row in content["rows"] if "base" in row]
    return {**content, "styles": {model: style(view, model) for model in dict.fromkeys(models)}}


def style(view: View, model: str) -> dict[str, str]:
    """The `label`, `color` and `marker` of a model: those of its entry, or a label and look that its name decides."""
    number = zlib.crc32(model.encode())
    chosen = {"label": model, "color": PALETTE[number % 6], "marker": MARKERS[number // 6 % len(MARKERS)]}
    kind = KINDS[inherited(view, model, "kind")]
    own = {key: value for key, value in view["models"][model].items() if key in chosen}
    return chosen | own | ({} if kind.TEMPERATURE else {"temperature": False})


# ----------------------------------------------------------------------------------------- runs and files


def sample_counts(view: View, dataset: str, model: str, temperature: float) -> dict[str, int]:
    """How many images of a model are drawn: enough for all that the preset measures or shows of them.

    `count` is the largest of the protocols used on them (the preset's own where none is), each its sets times its
    images, more where a figure or a probe takes more; of these the first `shown` are kept for figures.
    """
    samples = {name: protocol(view, name)["sets"] * of["images"] for name, of in view["protocols"].items()}
    these = {"dataset": dataset, "model": model, "temperature": temperature}.items()
    needed = [need for need in all_needs(view) if need.items() >= these]
    counts = [samples[need["protocol"]] for need in needed if need["what"] in ("metrics", "draws")]
    if any(need["what"] == "nearest_training" for need in needed):
        counts.append(view["probes"]["nearest_training"]["samples"])
    sheets = [
        figure.get("columns", 0) * figure.get("lines_per_row", figure.get("lines", 1))
        for name, figure in view["figures"].items()
        if any(row["dataset"] == dataset for row in filled_in(view, "figures", name)["rows"])
    ]
    own = samples[view["evaluation"]["protocol"]]
    return {"count": max([*(counts or [own]), *sheets]), "shown": max([SHOWN, *sheets])}


def runs(config: Mapping[str, Any], view: View) -> dict[tuple[str, str], list[int]]:
    """The (dataset, model) pairs that are trained for a preset's tables, figures and claims, and their seeds.

    Bases are included. Models that cannot take the images are left out.
    """
    found: dict[tuple[str, str], set[int]] = {}
    trained = [need for need in all_needs(view) if need["what"] != "timing" and need["preset"] == view["preset"]]
    wanted = dict.fromkeys((need["dataset"], need["model"], need["seeds"]) for need in trained)  # timed: untrained
    for dataset, model, seeds in wanted:
        with suppress(UnfitImages):
            for run in reversed(phases(resolve(config, view["preset"], dataset, model, seeds[0]))):
                found.setdefault((dataset, run["model"]), set()).update(seeds)
    return {run: sorted(seeds) for run, seeds in found.items()}


def paths(wanted: Iterable[Mapping[str, Any]]) -> list[str]:
    """The paths of results, for every seed of a need, each once."""
    each = [{**need, "seed": seed} for need in wanted for seed in need["seeds"]]
    return list(dict.fromkeys(str(result_path("results", **need)) for need in each))


def files(view: View, section: str, name: str | None = None) -> list[str]:
    """All results that a table, a figure or the claims read, under every seed that they show."""
    return paths(needs(view, section, name))


def study(config: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What `vaeglow.study` keeps of a preset: the small files that its tables, figures and claims are made from.

    Names are of files and folders below `results`: `runs`, by folder and bases first, have the folder of their `base`
    or None, and `files`; `others` are files of no run. The `roles` and `seeds` are the view's.
    """
    entries = [(section, name) for section in SECTIONS for name in view[section]] + [("claims", None)]
    read = dict.fromkeys(file.removeprefix("results/") for entry in entries for file in files(view, *entry))
    found: dict[str, dict[str, Any]] = {}
    for (dataset, model), seeds in runs(config, view).items():
        for seed in seeds:
            base = None
            for run in phases(resolve(config, view["preset"], dataset, model, seed)):
                folder = str(result_path("", "config", **run).parent)
                own = [f"{folder}/{name}" for name in ("config.json", "history.csv", "training.json")]
                small = dict.fromkeys([*own, *(file for file in read if file.startswith(f"{folder}/"))])
                found[folder], base = {"base": base, "files": list(small)}, folder
    about = {key: view[key] for key in ("roles", "seeds")}
    return {"runs": found, "others": [file for file in read if "/seed" not in file], **about}


def figure_data(view: View, figure: str, what: str) -> list[str]:
    """The prepared data that a figure reads: its datasets' `info` (dataset.json), or `images` (the splits shown)."""
    rows = filled_in(view, "figures", figure)["rows"]
    shown = [row for row in rows if what == "info" or "data" in row]
    pattern = "resources/data/{dataset}/" + {"info": "dataset.json", "images": "{data}.npy"}[what]
    return list(dict.fromkeys(pattern.format(**row) for row in shown))


def pages(config: Mapping[str, Any], view: View) -> list[str]:
    """The training curves of all runs, and the pages of the datasets that they are on."""
    of = {"preset": view["preset"]}
    trained = [of | {"dataset": run[0], "model": run[1], "seeds": seeds} for run, seeds in runs(config, view).items()]
    return paths({"what": what, **run} for what in ("curves", "data_page") for run in trained)


def temperatures(views: Mapping[str, View]) -> list[float]:
    """All temperatures that any preset uses, in order, each once."""
    asked = [need for view in views.values() for need in all_needs(view)]
    return sorted({need["temperature"] for need in asked if "temperature" in need})


def importance_samples(view: View, dataset: str, model: str) -> list[int]:
    """The K of the importance-weighted bounds of a run: the preset's where an entry shows them, else none."""
    entries = [(section, name) for section in SECTIONS for name in view[section]]
    showing = [(s, name) for s, name in entries if hasattr(kinds(s)[view[s][name]["kind"]], "IMPORTANCE")]
    runs_shown = {(need["dataset"], need["model"]) for entry in showing for need in needs(view, *entry)}
    return list(view["evaluation"]["importance_samples"]) if (dataset, model) in runs_shown else []


def timed_models(view: View, preset: str, dataset: str) -> list[str]:
    """The models of a preset whose steps are timed in turns: all that tables and claims of the view's preset use."""
    wanted = {"what": "timing", "preset": preset, "dataset": dataset}.items()
    return list(dict.fromkeys(need["model"] for need in all_needs(view) if need.items() >= wanted))
