"""What the workflow asks of a checked config while it plans its jobs. Pure: no torch, no snakemake.

`vaeglow.config` turns names into one run's values, `vaeglow.entries` says what one table or figure is made of; here
it is answered which files that means, how many samples a run draws, and which runs there are at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vaeglow import config as settings
from vaeglow import entries
from vaeglow.errors import UnfitImages
from vaeglow.paths import DATA, result_path

READERS = 8  # processes that decode images; Snakemake takes fewer where it has fewer cores
Whole = Mapping[str, Mapping[str, Any]]  # {preset: the whole config as it sees it}: what `check_config` returned


def one_of(names: Iterable[Any]) -> str:
    """A closed alternation for Snakemake's `wildcard_constraints`; no names: matches nothing."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def dataset_settings(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """What `prepare_data` needs of a dataset: all but what belongs to a run (`train_subset`, `models`)."""
    return {key: value for key, value in config["datasets"][dataset].items() if key not in ("train_subset", "models")}


def reading_threads(config: Mapping[str, Any], dataset: str) -> int:
    """Processes that `prepare_data` may use: several where image files are decoded. No value depends on it."""
    return READERS if config["datasets"][dataset]["kind"] in ("celeba", "folder") else 1


def sample_counts(whole: Whole, preset: str) -> dict[str, int]:
    """How many images a run on each dataset draws: enough for all that the preset measures or shows of it.

    That is the largest count of the protocols used on it (the preset's own where none is), each its sets times its
    images, more where a figure or a probe takes more.
    """
    config = whole[preset]

    def drawn(name: str) -> int:
        protocol = entries.protocol_of(config, name)
        return protocol["sets"] * protocol["images"]

    counts = dict.fromkeys(config["datasets"], drawn(config["evaluation"]["protocol"]))
    for need in entries.all_needs(config, preset):
        if need["what"] in ("metrics", "features"):
            counts[need["dataset"]] = max(counts[need["dataset"]], drawn(need["protocol"]))
        if need["what"] == "nearest_training":
            samples = config["probes"]["nearest_training"]["samples"]
            counts[need["dataset"]] = max(counts[need["dataset"]], samples)
    for name, figure in config["figures"].items():
        if figure["kind"] in ("sample_sheet", "side_by_side"):
            shown = figure["columns"] * figure.get("lines_per_row", figure.get("lines", 1))
            for row in entries.complete(config, preset, "figures", name)["rows"]:
                counts[row["dataset"]] = max(counts[row["dataset"]], shown)
    return counts


def protocol(whole: Whole, preset: str, name: str) -> dict[str, Any]:
    """All values of a protocol at a preset; see `entries.protocol_of`."""
    return entries.protocol_of(whole[preset], name)


def stretch_flag(whole: Whole, preset: str, name: str) -> str:
    """What `fid_reference` is told of a protocol that stretches samples: its flag, or nothing."""
    return "--stretch" if protocol(whole, preset, name)["stretch"] else ""


def spec(whole: Whole, preset: str, section: str, name: str) -> dict[str, Any]:
    """All that the step `table` or `figure` needs to find, check and name its files; see `entries.complete`."""
    return entries.complete(whole[preset], preset, section, name)


def claims_spec(whole: Whole, preset: str) -> dict[str, Any]:
    """All that the step `claims` needs: `{"preset", "seeds", "claims"}`."""
    return {"preset": preset, "seeds": whole[preset]["seeds"], "claims": entries.claims(whole[preset], preset)}


def files(whole: Whole, needs: Iterable[Mapping[str, Any]], seeds: Iterable[int]) -> list[str]:
    """The paths of results, for every seed, each once. Files that belong to no seed are named once."""
    seeds = list(seeds)
    found = [
        str(result_path("results", **{**need, "seed": seed}))  # `what` is the argument of that name
        for need in needs
        for seed in seeds
    ]
    return list(dict.fromkeys(found))


def table_files(whole: Whole, preset: str, table: str) -> list[str]:
    """All that a table reads: every row under every seed."""
    return files(whole, entries.needs(whole[preset], preset, "tables", table), whole[preset]["seeds"])


def figure_files(whole: Whole, preset: str, figure: str) -> list[str]:
    """All that a figure reads of runs: every row under the first seed."""
    return files(whole, entries.needs(whole[preset], preset, "figures", figure), whole[preset]["seeds"][:1])


def figure_data(whole: Whole, preset: str, figure: str, what: str) -> list[str]:
    """The prepared data that a figure reads.

    Args:
        whole: what `vaeglow.check.check_config` returned.
        preset: whose figure.
        figure: its name.
        what: `info` (dataset.json of each dataset) or `images` (the splits shown).
    """
    rows = entries.complete(whole[preset], preset, "figures", figure)["rows"]
    named = [row for row in rows if what == "info" or "data" in row]
    return list(dict.fromkeys("resources/data/" + DATA[what].format(**row) for row in named))


def claims_files(whole: Whole, preset: str) -> list[str]:
    """All that the claims ledger reads."""
    return files(whole, entries.claim_needs(whole[preset], preset), whole[preset]["seeds"])


def published_files(whole: Whole, preset: str) -> dict[str, list[str]]:
    """The copies in results/ of all tables and figures."""
    endings = {"tables": ("csv", "md", "html", "tex"), "figures": ("png", "pdf")}
    return {
        section: [f"results/{name}.{ending}" for name in whole[preset][section] for ending in endings[section]]
        for section in endings
    }


def curve_files(config: Mapping[str, Any], whole: Whole, preset: str) -> list[str]:
    """The training curves of all runs."""
    found = runs(config, whole, preset)
    seeds = whole[preset]["seeds"]
    return [
        str(result_path("results", "curves", preset=preset, dataset=dataset, model=model, seed=seed))
        for dataset, model in found
        for seed in seeds
    ]


def data_pages(config: Mapping[str, Any], whole: Whole, preset: str) -> list[str]:
    """The pages of the datasets that a preset's runs are on."""
    datasets = dict.fromkeys(dataset for dataset, _ in runs(config, whole, preset))
    return [str(result_path("results", "data_page", dataset=dataset)) for dataset in datasets]


def title_of(config: Mapping[str, Any], section: str, name: str) -> str:
    """What the report calls a table or figure."""
    return config[section][name]["title"]


def category_of(section: str, name: str) -> str:
    """Where the report shows a table or figure: the paper's own apart from the claims made in its text."""
    return section.capitalize() if re.fullmatch(r"(table|figure)[0-9]+", name) else "Ablations and in-text claims"


def temperatures(whole: Whole) -> list[float]:
    """All temperatures that anything at any preset asks for, in order, each once."""
    asked = (need for preset, config in whole.items() for need in entries.all_needs(config, preset))
    return sorted({need["temperature"] for need in asked if "temperature" in need})


def timed_models(whole: Whole, preset: str, dataset: str) -> list[str]:
    """The models whose steps are timed in turns: all that anything at any preset asks for."""
    asked = (need for name, config in whole.items() for need in entries.all_needs(config, name))
    wanted = {"what": "timing", "preset": preset, "dataset": dataset}
    return list(dict.fromkeys(need["model"] for need in asked if wanted.items() <= need.items()))


def runs(config: Mapping[str, Any], whole: Whole, preset: str) -> list[tuple[str, str]]:
    """The (dataset, model) pairs that are trained for a preset's tables, figures and claims, bases included.

    Models that cannot take the images are left out.
    """
    found: dict[tuple[str, str], None] = {}
    needs = entries.all_needs(whole[preset], preset)
    trained = [need for need in needs if need["what"] != "timing" and need["preset"] == preset]  # timed: untrained
    for dataset, model in dict.fromkeys((need["dataset"], need["model"]) for need in trained):
        try:
            resolved: Any = settings.resolve(config, preset, dataset, model, whole[preset]["seeds"][0])
        except UnfitImages:
            continue
        while resolved is not None:
            found[resolved["dataset"], resolved["model"]] = None
            resolved = None if resolved.get("mode") == "joint" else resolved["base"]
    return list(found)
