"""Rewrite what is said of the demo from runs of it: docs/demo.md, the README's short table, docs/demo/*, the picture.

    python -m tools.update_demo anew

trains and measures it with three seeds, with this machine's instruction set and with the one below, then rewrites all
of it and the reference of training. Stop it at any time: the same command goes on. To take runs that are there,

    python -m tools.update_demo avx512=results avx2=elsewhere/results

names each instruction set and its folder. All runs have to be of the same code. The first folder gives the picture and
the weights. Without arguments the two texts alone are rewritten from the CSVs that are there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import hypot
from pathlib import Path
from typing import Any

import pandas as pd

from tools import reference, release_model
from vaeglow.errors import UserError
from vaeglow.files import sha256_file, write_text
from vaeglow.paths import result_path
from vaeglow.reporting.terminal import HINT, table_text
from vaeglow.results import read_result, source_sha256
from vaeglow.steps import cli

ROOT = Path(__file__).parents[1]
README, PAGE, PICTURE = ROOT / "README.md", ROOT / "docs/demo.md", ROOT / "docs/images/samples.png"
WEIGHTS = ROOT / "docs/demo/vaeglow.safetensors"  # to try `vaeglow.load` before anything is trained
TABLE, SPREAD = ROOT / "docs/demo/table2.csv", ROOT / "docs/demo/spread.csv"
ALL_COLUMNS = TABLE.with_suffix(".full.csv")
ANEW = ROOT / ".cache/demo"  # for each code a folder for each instruction set: older runs are not taken for new ones
BELOW = {"avx512": "avx2", "avx2": "default"}  # instruction sets, as ATEN_CPU_CAPABILITY names them
BLOCK = re.compile(r"(?<=<!-- demo:begin -->\n).*?(?=<!-- demo:end -->)", re.DOTALL)
ERRORS = 2.0  # standard errors by which two KIDs have to differ in a run

# {file of a run: {column of spread.csv: key in the file}}
FROM: dict[str, dict[str, str]] = {
    "metrics": {
        "fid": "fid",
        "kid": "kid",
        "kid_error": "kid_standard_error",
        "samples": "fid_samples",
        "reference_images": "fid_reference_images",
        "features": "fid_features",
        "clipped": "exploded_samples",
    },
    "likelihood": {"bits_per_dim": "bits_per_dim", "bound": "bound", "likelihood_images": "images"},
    "training": {"epochs": "epochs_by_phase", "train_seconds": "train_cpu_seconds_by_phase"},
}


def command(folder: Path) -> list[str]:
    """What trains and measures the demo with three seeds in a folder of its own."""
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "results/table2.csv", "results/samples.png"]
    place = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*snakemake, *place, "--configfile", str(ROOT / "docs/demo/seeds.yaml")]


def anew() -> dict[str, Path]:
    """Train and measure it with this machine's instruction set and with the one below; {its name: the results}."""
    import torch

    own = torch.backends.cpu.get_cpu_capability().lower()
    folders = {name: ANEW / source_sha256()[:16] / name for name in (own, BELOW[own])}
    for name, folder in folders.items():
        subprocess.run(command(folder), env={**os.environ, "ATEN_CPU_CAPABILITY": name}, check=True)
    return {name: folder / "results" for name, folder in folders.items()}


def runs_of(instructions: str, results: Path) -> list[dict[str, Any]]:
    """A row for each model, temperature and seed of a folder's Table 2.

    Args:
        instructions: what the rows call the instruction set.
        results: the folder, with `table2.csv` in it.
    """
    table = read_csv(results / "table2.csv")
    rows = []
    for row in table[table["source"] == "measured"].to_dict("records"):
        for seed in row["seeds"].split():
            where = {key: row[key] for key in ("preset", "dataset", "protocol", "temperature")}
            where |= {"model": row["run"], "seed": seed}
            files = {what: read_result(result_path(results, what, **where)) for what in FROM}
            measured = {name: files[what].value(key) for what, names in FROM.items() for name, key in names.items()}
            measured["epochs"] = "+".join(map(str, measured["epochs"]))
            measured["train_seconds"] = round(sum(measured["train_seconds"]), 1)
            measured["machine"] = files["training"].value("provenance", "device")
            sources = {file.value("provenance", "source_sha256") for file in files.values()}
            commits = {file.commit for file in files.values()}
            measured |= {"commit": " ".join(sorted(commits)), "source_sha256": " ".join(sorted(sources))}
            same = {"run": row["run"], "temperature": float(row["temperature"])}
            rows.append({"instructions": instructions, "seed": int(seed), **same, **measured})
    return rows


def read_csv(path: Path) -> pd.DataFrame:
    """A table of results, every cell a text.

    Raises:
        UserError: there is none.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: make it first, with its picture samples.png")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def named(spread: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the model's label in the table as `name`."""
    labels = {(row["run"], row["temperature"]): row["model"] for row in table.to_dict("records")}
    drawn = zip(spread["run"], spread["temperature"].map(str), strict=True)
    return spread.assign(name=[labels[which] for which in drawn])


def cells(rows: pd.DataFrame) -> dict[str, str]:
    """{heading: cell} of one model at one temperature, over all runs."""
    bound = "≤ " if rows["bound"].iloc[0] == "<=" else ""
    return {
        "Model": rows["name"].iloc[0],
        "FID": between(rows["fid"], 1),
        "KID (± standard error)": f"{between(rows['kid'], 3)} (± {rows['kid_error'].max():.3f})",
        "bits/dim": bound + between(rows["bits_per_dim"], 2),
        "Epochs": rows["epochs"].iloc[0],
        "Training (CPU s)": between(rows["train_seconds"], 0),
    }


def lines_of(spread: pd.DataFrame) -> str:
    """A Markdown table with a line for each model and temperature."""
    lines = [cells(rows) for _, rows in spread.groupby("name", sort=False)]
    made = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in made)


def short_block() -> str:
    """What stands between the README's two marks: the means of the three seeds as `make table2` prints them."""
    return f"```\n{table_text(ALL_COLUMNS).partition(HINT)[0]}\n```\n"


def block(spread: pd.DataFrame, table: pd.DataFrame, picture: Path) -> str:
    """What stands between the two marks of docs/demo.md.

    Args:
        spread: a row for each instruction set, seed, model and temperature.
        table: Table 2 with its published rows.
        picture: of samples, whose hash is told.
    """
    spread = named(spread, table)
    runs = spread[["instructions", "seed"]].drop_duplicates()
    groups = spread.groupby("name", sort=False)
    clipped = [f"{count} of {name}" for name, count in groups["clipped"].sum().items() if count]
    first = spread.iloc[0]
    bits, fid, kid, error = (numbers(spread, column) for column in ("bits_per_dim", "fid", "kid", "kid_error"))
    same = spread.groupby(["name", "seed"])
    moved = {column: (same[column].max() - same[column].min()).max() for column in ("bits_per_dim", "fid")}
    said = f"""
Measured on photos32, lowest to highest of {len(runs)} run(s): seed {listed(runs["seed"])} with the instruction set
{listed(runs["instructions"])}, on {listed(spread["machine"])}.
FID and KID: {first["samples"]} samples against {first["reference_images"]} test images, {first["features"]} features;
bits/dim: {first["likelihood_images"]:,} test images. Overflowed samples, clipped: {listed(clipped) or "none"}.
Code: `source_sha256` `{first["source_sha256"][:16]}`, commit {listed(short(spread["commit"]))}.
With the same seed, another instruction set changes bits/dim by at most {moved["bits_per_dim"]:.2f},
FID by at most {moved["fid"]:.0f}.
The picture: {first["instructions"]}, seed {first["seed"]}, sha256 `{sha256_file(picture)[:16]}`.

Lowest (best) first. `<`: the same order in every run. A comma: the order changes between runs.
After a semicolon: pairs of such a group whose order never changes.

- bits/dim: {order(bits)}
- FID: {order(fid)}
- KID, by more than {ERRORS:.0f} standard errors of the difference: {order(kid, error)}

Published, on CIFAR-10 (do not compare with the rows above): {published(table)}.
"""
    return lines_of(spread) + said


def between(values: pd.Series, decimals: int) -> str:
    """`1.2 to 3.4`, or one number where both ends look the same."""
    return " to ".join(dict.fromkeys(f"{value:.{decimals}f}" for value in (values.min(), values.max())))


def listed(values: Iterable[Any]) -> str:
    """The different values, in order."""
    return ", ".join(dict.fromkeys(map(str, values)))


def short(commits: Iterable[str]) -> list[str]:
    """Commits by their first ten digits."""
    return [re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", commit) for commit in commits]


def numbers(spread: pd.DataFrame, column: str) -> dict[str, list[float]]:
    """{model: its number in each run}, the runs in the order of the file; bits/dim once for all temperatures."""
    if column == "bits_per_dim":
        models = spread["name"].str.rpartition(", ")[0]  # without the temperature
        spread = spread.assign(name=models).drop_duplicates(["name", "instructions", "seed"])
    groups = spread.groupby("name", sort=False)
    return {re.sub(r" \(.*?\)|,", "", name): rows[column].tolist() for name, rows in groups}


def order(values: Mapping[str, Sequence[float]], errors: Mapping[str, Sequence[float]] | None = None) -> str:
    """What is below what in every run: `A < B, C < D`, and the pairs that hold between commas.

    Args:
        values: {name: its number in each run, the runs in the same order}.
        errors: their standard errors; a difference then counts from `ERRORS` of its own on.
    """

    def below(a: str, b: str) -> bool:
        pairs = zip(values[a], values[b], strict=True)
        if errors is None:
            return all(low < high for low, high in pairs)
        margins = (ERRORS * hypot(*pair) for pair in zip(errors[a], errors[b], strict=True))
        return all(low + margin < high for (low, high), margin in zip(pairs, margins, strict=True))

    names = sorted(values, key=lambda name: sum(values[name]))
    groups: list[list[str]] = []
    for i, name in enumerate(names):
        if all(below(a, b) for a in names[:i] for b in names[i:]):
            groups.append([])
        groups[-1].append(name)
    inside = [f"{a} < {b}" for group in groups for a, b in combinations(group, 2) if below(a, b)]
    return " < ".join(", ".join(group) for group in groups) + "".join(f"; {pair}" for pair in inside)


def published(table: pd.DataFrame) -> str:
    """The published rows of Table 2 as a sentence: no column of ours holds one of theirs."""
    rows = table[table["source"] == "published"].to_dict("records")
    return "; ".join(
        f"{row['model']} FID {row['fid']}"
        + f", {'≤ ' * (row['bound'] == '<=')}{row['bits_per_dim']} bits/dim" * bool(row["bits_per_dim"])
        for row in rows
    )


def main(arguments: Sequence[str]) -> None:
    """Write all of it.

    Raises:
        UserError: an argument is neither; a table is missing; the runs are not of one code.
    """
    if arguments == ["anew"]:
        folders = anew()
    else:
        folders = {}
        for argument in arguments:
            name, equals, folder = argument.partition("=")
            if not equals:
                raise UserError(f"{argument}: give `anew`, or instruction sets with their folders, as avx2=results")
            folders[name] = Path(folder)
    if folders:
        spread = pd.DataFrame([row for name, folder in folders.items() for row in runs_of(name, folder)])
        codes = set(" ".join(spread["source_sha256"]).split())
        if len(codes) > 1:
            raise UserError(f"the runs are not of one code: {', '.join(sorted(codes))}")
        first = next(iter(folders.values()))
        shutil.copyfile(first / "samples.png", PICTURE)
        for name in ("table2.csv", "table2.full.csv"):
            shutil.copyfile(first / name, TABLE.with_name(name))
        run = first / "demo/photos32/vaeglow/seed0"
        shutil.copyfile(run / "model.safetensors", WEIGHTS)
        release_model.release(run, "photos32/vaeglow", WEIGHTS)
        spread.to_csv(SPREAD, index=False)
        reference.write("demo", folders.values())
    spread, table = pd.read_csv(SPREAD), read_csv(TABLE)
    for path, new in ((PAGE, block(spread, table, PICTURE)), (README, short_block())):
        write_text(path, BLOCK.sub(lambda _, new=new: new, path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    cli.run(lambda: main(sys.argv[1:]))
