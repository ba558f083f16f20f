"""What tables, figures and claims consist of, and the results that they need, for the workflow.

A `view` is the checked config as one preset sees it (`vaeglow.config.view_of`). An entry of it names datasets by role
(`main`), may leave its protocol to the preset, and its rows may leave their dataset to the entry; here all of that is
filled in once, for planning, checking and reporting. A `need` is one result that an entry reads:
`{"what": a key of vaeglow.paths.RESULTS, "preset", "dataset", "model", "protocol", "seeds"}`, with a `temperature` or
`space` where its path has one.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress

from vaeglow.config import inherited, lookup, merge, phases, resolve
from vaeglow.config.registry import kinds_of
from vaeglow.errors import UnfitGrey, UnfitImages
from vaeglow.files import Config, Facts
from vaeglow.paths import RESULTS, result_path
from vaeglow.reporting.claims import needed, seeds_of
from vaeglow.reporting.style import PALETTE

View = Config
Row = Config
Need = Facts
SECTIONS = ("tables", "figures")
KEPT_IMAGES = 36  # images of a sample set that are kept for figures; more where one shows more
MARKERS = ("*", "8", "H", "1", "2", "3", "4", "+")  # of models that have none in config
SEVERAL = "#/$defs/several_temperatures_rows"  # the schema of rows that keep their temperatures together


# ---------------------------------------------------------------------------------- entries, all filled in


def protocol(view: View, name: str) -> Facts:
    """How FIDs are measured: `split`, `images`, `features` and `sets` of a protocol."""
    return {"sets": 1, **lookup(view["protocols"], name, "protocol")}


def measured_by(view: View, entry: Config) -> Facts:
    """The `protocol` of an entry, the preset's own where it names none, with that protocol's values."""
    name = entry.get("protocol") or view["evaluation"]["protocol"]
    return {"protocol": name, **protocol(view, name)}


def filled_in(view: View, section: str, name: str) -> Facts:
    """An entry of `tables` or `figures` with everything filled in.

    Returns:
        The entry's own keys, with `name`, `preset`, `seeds` (`seeds_of`; of a figure without `ERRORS` the first),
        `dataset`, `protocol` and the protocol's values; each row has `dataset` and `preset`, a row of a model with a
        base also `base`. Rows of a model that takes colour images only are left out on grey ones, for the reasons in
        `left_out`.
    """
    entry = merge(view[section][name])
    kind = kinds_of(section)[entry["kind"]]
    dataset = entry.get("dataset", "main")
    seeds = seeds_of(entry, view["seeds"])
    rows: list[Row] = []
    for row in entry["rows"]:
        for preset in entry.get("presets") or [view["preset"]]:
            rows += filled_rows(view, row, row.get("dataset", dataset), preset, kind.SCHEMA["rows"].get("$ref"))
    rows = [row for index, row in enumerate(rows) if row not in rows[:index]]  # two roles may be one dataset
    grey = [unfit(view, (row, {**row, **row.get("minus", {})}), UnfitGrey) for row in rows]
    if any(grey) and not all(grey):  # of no row at all that model's run is the error
        rows = [row for row, reasons in zip(rows, grey, strict=True) if not reasons]
        entry["left_out"] = list(dict.fromkeys(reasons[0] for reasons in grey if reasons))
    return {
        **entry,
        "name": name,
        "preset": view["preset"],
        "seeds": seeds if section == "tables" or hasattr(kind, "ERRORS") else seeds[:1],
        "dataset": view["roles"].get(dataset, dataset),
        **measured_by(view, entry),
        "published": entry.get("published"),
        "rows": rows,
    }


def filled_rows(view: View, row: Row, dataset: str, preset: str, schema: str | None) -> list[Facts]:
    """A row of an entry filled in; several, one for each temperature, unless its schema keeps them together."""
    where = {"dataset": view["roles"].get(dataset, dataset), "preset": preset}
    full = {**row, **where}
    base = inherited(view, row["model"], "base") if "model" in row else None
    if base is not None:
        full["base"] = base
    if "minus" in row:  # a pair: both are of the same dataset
        full["minus"] = {**row["minus"], "temperature": float(row["minus"]["temperature"]), **where}
    temperatures = [] if schema == SEVERAL else full.pop("temperatures", [])
    if not temperatures and "temperature" in full:
        temperatures = [full["temperature"]]
    return [{**full, "temperature": float(temperature)} for temperature in temperatures] or [full]


def claims(view: View) -> dict[str, Facts]:
    """All claims with a preset, a real dataset and a protocol, as their step takes them; `run`: it is measured."""
    filled = {}
    for name, entry in view["claims"].items():
        claim = merge({"enabled": True}, entry, measured_by(view, entry), {"preset": view["preset"]})
        claim["dataset"] = view["roles"].get(claim["dataset"], claim["dataset"])
        wanted = claim["enabled"] and "missing" not in claim and claim.get("needs", view["preset"]) == view["preset"]
        reasons = unfit(view, needed(claim)) if wanted else []
        if reasons:
            claim["unfit"] = reasons[0]
        filled[name] = {**claim, "run": wanted and not reasons}
    return filled


def unfit(view: View, rows: Iterable[Row], error: type[UnfitImages] = UnfitImages) -> list[str]:
    """The reasons why models of rows or needs cannot take their dataset's images, one for each that cannot."""
    reasons = [view.get("unfit", {}).get((row["preset"], row["dataset"], row.get("model"))) for row in rows]
    return [str(reason) for reason in reasons if isinstance(reason, error)]


# -------------------------------------------------------------------------------------------------- needs


def needs(view: View, section: str, name: str = "") -> list[Need]:
    """What a table, a figure or (without a name) all claims that are measured read, each need once."""
    if section == "claims":
        reading = []
        for claim in claims(view).values():
            seeds = tuple(seeds_of(claim, view["seeds"]))
            if claim["run"] and seeds:
                reading += [{**need, "seeds": seeds} for need in needed(claim)]
    else:
        reading = entry_needs(view, section, name)
    return list({frozenset(need.items()): need for need in reading}.values())


def entry_needs(view: View, section: str, name: str) -> Iterator[Need]:
    """What a table or a figure reads: of its rows, of what they are compared with, of their bases, and by itself."""
    entry = filled_in(view, section, name)
    kind = kinds_of(section)[entry["kind"]]
    reading: list[tuple[str, Row]] = []
    for row in entry["rows"]:
        sides = (row, row.get("minus", {}))
        reading += [(what, side) for side in sides if "model" in side for what in kind.READS]
    for row in entry["rows"]:
        base = row.get("base")
        while base is not None:
            reading += [(what, {**row, "model": base}) for what in getattr(kind, "OF_BASES", ())]
            base = inherited(view, base, "base")
    if hasattr(kind, "needs"):
        reading += [(need["what"], need) for need in kind.needs(entry)]
    for what, row in reading:
        need = {"what": what, "protocol": entry["protocol"], "seeds": tuple(row.get("seeds") or entry["seeds"])}
        need |= {key: row[key] for key in ("preset", "dataset", "model")}
        if "{space}" in RESULTS[what]:
            need["space"] = entry["space"]
        if "{temperature}" not in RESULTS[what]:
            yield need
            continue
        for temperature in row.get("temperatures") or [row.get("temperature")]:
            yield {**need, "temperature": float(temperature)}


def all_needs(view: View) -> list[Need]:
    """What any table, figure or claim of a preset reads."""
    shown = [need for section in SECTIONS for name in view[section] for need in needs(view, section, name)]
    return shown + needs(view, "claims")


def spec(view: View, section: str, name: str = "claims") -> Facts:
    """All that the step `table`, `figure` or `claims` needs to find, check and name its files.

    Returns:
        Of a table or figure `filled_in`; of the claims `{"preset", "seeds", "claims"}`. Both have `styles`, the look of
        each model that is shown: `{model: {"label", "color", "marker"}}`, and `temperature` false where it has none.
    """
    if section == "claims":
        content: Facts = {"preset": view["preset"], "seeds": view["seeds"], "claims": claims(view)}
        models = [need["model"] for claim in content["claims"].values() for need in needed(claim)]
    else:
        content = filled_in(view, section, name)
        models = [need["model"] for need in needs(view, section, name)]
        models += [row["base"] for row in content["rows"] if "base" in row]
    return {**content, "styles": {model: style(view, model) for model in dict.fromkeys(models)}}


def style(view: View, model: str) -> Facts:
    """The `label`, `color` and `marker` of a model: those of its entry, or a label and look that its name decides."""
    number = zlib.crc32(model.encode())
    look = {"label": model, "color": PALETTE[number % 6], "marker": MARKERS[number // 6 % len(MARKERS)]}
    entry = view["models"][model]
    look |= {key: entry[key] for key in look if key in entry}
    kind = kinds_of("models")[inherited(view, model, "kind")]
    return look if kind.TEMPERATURE else {**look, "temperature": False}


# ----------------------------------------------------------------------------------------- runs and files


def sample_counts(view: View, dataset: str, model: str, temperature: float) -> dict[str, int]:
    """How many images of a model are drawn: enough for all that the preset measures or shows of them.

    `count` is the largest of the protocols used on them (the preset's own where none is), each its sets times its
    images, more where a figure or a probe takes more; of these the first `shown` are kept for figures.
    """
    samples = {name: protocol(view, name)["sets"] * values["images"] for name, values in view["protocols"].items()}
    drawn = {"dataset": dataset, "model": model, "temperature": temperature}.items()
    reading = [need for need in all_needs(view) if need.items() >= drawn]
    counts = [samples[need["protocol"]] for need in reading if need["what"] in ("metrics", "draws")]
    counts += [view["probes"]["nearest_training"]["samples"] for need in reading if need["what"] == "nearest_training"]
    sheets = []
    for name, figure in view["figures"].items():
        if dataset in {row["dataset"] for row in filled_in(view, "figures", name)["rows"]}:
            lines = figure.get("lines_per_row", figure.get("lines", 1))
            beside = 1 + view["probes"]["layer_action"]["draws"] if figure.get("beside") else 0
            sheets.append(figure.get("columns", beside) * lines)
    usual = samples[view["evaluation"]["protocol"]]
    return {"count": max([*(counts or [usual]), *sheets]), "shown": max([KEPT_IMAGES, *sheets])}


def runs(config: Config, view: View) -> dict[tuple[str, str], list[int]]:
    """The (dataset, model) pairs that are trained for a preset's tables, figures and claims, and their seeds.

    Bases are included. Models that cannot take the images are left out.
    """
    seeds_of_run: dict[tuple[str, str], set[int]] = {}
    own = [need for need in all_needs(view) if need["preset"] == view["preset"]]
    trained = [(need["dataset"], need["model"], need["seeds"]) for need in own if need["what"] != "timing"]
    for dataset, model, seeds in dict.fromkeys(trained):  # what is timed is not trained
        with suppress(UnfitImages):
            resolved = resolve(config, view["preset"], dataset, model, seeds[0])
            for run in reversed(phases(resolved)):
                seeds_of_run.setdefault((dataset, run["model"]), set()).update(seeds)
    return {run: sorted(seeds) for run, seeds in seeds_of_run.items()}


def paths(wanted: Iterable[Need]) -> list[str]:
    """The paths of results, for every seed of a need, each once."""
    names = [str(result_path("results", **need, seed=seed)) for need in wanted for seed in need["seeds"]]
    return list(dict.fromkeys(names))


def study(config: Config, view: View) -> Facts:
    """What `vaeglow.study` keeps of a preset: the small files that its tables, figures and claims are made from.

    Names are of files and folders below `results`: `runs`, by folder and bases first, have the folder of their `base`
    or None, and `files`; `others` are files of no run. The `roles` and `seeds` are the view's.
    """
    read = [path.removeprefix("results/") for path in paths(all_needs(view))]
    kept: dict[str, Facts] = {}
    for (dataset, model), seeds in runs(config, view).items():
        for seed in seeds:
            base = None
            for run in phases(resolve(config, view["preset"], dataset, model, seed)):
                folder = str(result_path("", "config", **run).parent)
                own = [f"{folder}/{name}" for name in ("config.json", "history.csv", "training.json")]
                own += [file for file in read if file.startswith(f"{folder}/")]
                kept[folder] = {"base": base, "files": list(dict.fromkeys(own))}
                base = folder
    others = [file for file in read if not re.match(r"([^/]+/){3}seed\d+/", file)]
    return {"runs": kept, "others": others, "roles": view["roles"], "seeds": view["seeds"]}


def figure_data(view: View, figure: str, what: str) -> list[str]:
    """The prepared data that a figure reads: its datasets' `info` (dataset.json), or `images` (the splits shown)."""
    rows = filled_in(view, "figures", figure)["rows"]
    if what == "info":
        names = [f"{row['dataset']}/dataset.json" for row in rows]
    else:
        names = [f"{row['dataset']}/{row['data']}.npy" for row in rows if "data" in row]
    return [f"resources/data/{name}" for name in dict.fromkeys(names)]


def importance_samples(view: View, dataset: str, model: str) -> list[int]:
    """The K of the importance-weighted bounds of a run: the preset's where an entry shows them, else none."""
    for section in SECTIONS:
        for name, entry in view[section].items():
            if hasattr(kinds_of(section)[entry["kind"]], "IMPORTANCE"):
                for need in needs(view, section, name):
                    if (need["dataset"], need["model"]) == (dataset, model):
                        return list(view["evaluation"]["importance_samples"])
    return []


def timed_models(view: View, preset: str, dataset: str) -> list[str]:
    """The models of a preset whose steps are timed in turns: all that tables and claims of the view's preset use."""
    timed = {"what": "timing", "preset": preset, "dataset": dataset}.items()
    return list(dict.fromkeys(need["model"] for need in all_needs(view) if need.items() >= timed))
