"""The published study: its pages and the README's results say what its CSVs say."""

import re
from collections import Counter
from statistics import mean

import pytest
from PIL import Image
from waiting import ROOT, Row, text_of

from vaeglow.files import read_csv, read_json
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, UNDECIDED
from vaeglow.reporting.traced import FIGURE_KEY, FULL

FOLDER = ROOT / "docs/measured"
NUMBER = re.compile(r"-?\d+\.\d+")
# A table, and what follows up to the link to its CSV.
TABLE = re.compile(r"((?:^\|.*\n)+)(?:(?![|#]).*\n)*?\[(\w+)\.csv\]\(measured", re.MULTILINE)
PAGES = "".join(map(text_of, ROOT.glob("docs/measured*.md")))
TABLES = {name: text for text, name in TABLE.findall(PAGES)}
TIMED = re.compile(r"\| Training \(CPU s\)(?:, seeds? ([\d, ]+))? ")  # the heading, with the seeds where not all count


def numbers(text: str) -> set[str]:
    return {*NUMBER.findall(text)}


def rows_of(name: str) -> list[Row]:
    return read_csv(FOLDER / f"{name}{FULL}")


def test_every_csv_with_a_table_is_on_a_page_and_none_twice():
    names = [path.name.removesuffix(FULL) for path in FOLDER.glob(f"*{FULL}")]
    assert sorted([*TABLES, "claims"]) == sorted(names) and len(TABLE.findall(PAGES)) == len(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_numbers_of_its_csv(name):
    rows = [numbers(" ".join(row.values())) for row in rows_of(name)]
    _, _, *shown = TABLES[name].splitlines()
    assert len(rows) == len(shown) and numbers(TABLES[name])
    for line in shown:
        cells = numbers(line.split("|", 2)[2])  # without the label, which may name a temperature
        assert any(cells <= row for row in rows), line


@pytest.mark.parametrize("name", [name for name, text in TABLES.items() if TIMED.search(text)])
def test_seconds_of_training_are_of_the_seeds_in_their_heading(name):
    text = TABLES[name]
    rows = [row for row in rows_of(name) if row["train_cpu_seconds"]]
    assert rows
    for row in rows:
        run = ROOT / "study/runs/{preset}/{dataset}/{run}".format(**row)
        seeds = TIMED.search(text)[1] or row["seeds"]
        files = [read_json(run / f"seed{seed}/training.json") for seed in re.findall(r"\d+", seeds)]
        seconds = mean(sum(file["train_cpu_seconds_by_phase"]) for file in files)
        assert row["train_cpu_seconds"] == f"{seconds:.1f}" and row["train_cpu_seconds"] in text


def test_a_page_says_which_seeds_a_table_and_a_figure_show():
    def seeds(evidence: str) -> str:
        return " ".join(sorted({*re.findall(r"/seed(\d+)/(?!config)", evidence)}))

    for name in TABLES:
        (said,) = re.findall(rf"^\[{name}\.csv\].*{FULL}\)(?:, seeds ([\d ]+))?$", PAGES, re.MULTILINE)
        assert said == seeds(text_of(FOLDER / f"{name}{FULL}"))
    for path in FOLDER.glob("*.png"):
        (said,) = re.findall(rf"Seed ([\d, ]+)\.\n\n!\[.*\]\(measured/{path.name}\)", PAGES)
        with Image.open(path) as image:
            assert said.replace(",", "") == seeds(image.text[FIGURE_KEY])


def test_the_speeds_on_the_page_of_baselines_are_those_of_the_csv():
    (text,) = re.findall(r"Glow samples .*?(?=\. All)", text_of("docs/baselines.md"), re.DOTALL)
    speeds = {row["run"]: row["sampling_images_per_second"] for row in rows_of("sampling")}
    models = ("glow", "vaeglow", "residual_flow", "pixeliqn", "pixelcnn")
    assert re.findall(r"[\d.]*\d", text) == [speeds[model] for model in models]


def test_the_page_of_claims_has_the_verdicts_of_the_csv():
    lines = re.findall(r"^\| .*", text_of("docs/measured-claims.md"), re.MULTILINE)
    shown = {line.split()[1]: re.split(r"(?<!\\)\|", line) for line in lines}
    del shown["Claim"]
    rows = {row["claim"]: row for row in rows_of("claims")}
    assert shown.keys() == rows.keys()
    for name, row in rows.items():
        cells = shown[name]
        assert cells[-2].strip() == f"**{row['verdict']}**"
        interval = {*re.split(r"[\s\[\],]+", cells[4]), "-inf", "inf"}
        assert not row["effect"] or {row["effect"], row["low"], row["high"]} <= interval


def test_the_results_in_the_readme_are_roundings_of_the_csvs():
    readme = " ".join(text_of("README.md").split())
    (text,) = re.findall(r"On CIFAR-10 as JPEG the paper's model.*?\[results\]", readme)
    text = re.sub(r"Holds: training.*?Undecided", "", text)  # ratios: the page of claims has them
    rows = rows_of("table2") + rows_of("table3")
    measured = [float(row[key]) for row in rows for key in ("fid", "bits_per_dim") if NUMBER.fullmatch(row[key])]
    shown = numbers(text)
    assert len(shown) >= 6
    for number in shown:
        half = 0.5 * 10 ** -len(number.partition(".")[2]) + 1e-9
        assert any(abs(float(number) - value) <= half for value in measured), number
    verdicts = Counter(row["verdict"].partition(" preset")[0] for row in read_csv(FOLDER / "claims.csv"))
    counts = [verdicts.total(), *(verdicts[name] for name in (HOLDS, FAILS, UNDECIDED, "needs"))]
    words = "Of {} claims, {} hold, {} do not, {} are undecided and {} need"
    assert words.format(*counts) in readme.replace("*", "")
