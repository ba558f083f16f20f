"""The published study: its pages and the README's results say what its CSVs say."""

import re
from collections import Counter
from itertools import chain
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from PIL import Image
from pytest import approx
from scipy.stats import ttest_1samp
from waiting import ROOT, Row, text_of

from study import update
from vaeglow.files import read_csv, read_json
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, UNDECIDED
from vaeglow.reporting.traced import FIGURE_KEY, FULL

FOLDER = ROOT / "docs/measured"
REGISTERED = ROOT / "docs/registered"
FINISHED = (
    "registered_longer",
    "registered_today",
    "registered_faces",
    "registered_faces_longer",
    "registered_longest",
    "registered_fashion",
)
NUMBER = re.compile(r"-?\d+\.\d+")
# A table, and what follows up to the link to its CSV.
TABLE = re.compile(r"((?:^\|.*\n)+)(?:(?![|#]).*\n)*?\[(\w+)\.csv\]\((?:measured|registered)/", re.MULTILINE)
PAGES = "".join(map(text_of, [*ROOT.glob("docs/measured*.md"), *ROOT.glob("docs/registered-*.md")]))
TABLES = {name: text for text, name in TABLE.findall(PAGES)}
FULLS = [*FOLDER.glob(f"*{FULL}"), *REGISTERED.glob(f"*{FULL}")]
TIMED = re.compile(r"\| Training \(CPU s\)(?:, seeds? ([\d, ]+))? ")  # the heading, with the seeds where not all count


def numbers(text: str) -> set[str]:
    return {*NUMBER.findall(text)}


def full(name: str) -> Path:
    """The CSV with all columns of a table, or of the claims of the exploratory study."""
    return next(path for path in FULLS if path.name == name + FULL)


def rows_of(name: str) -> list[Row]:
    return read_csv(full(name))


def test_every_csv_with_a_table_is_on_a_page_and_none_twice():
    names = [path.name.removesuffix(FULL) for path in FULLS]
    assert sorted([*TABLES, "claims", "claims"]) == sorted(names)
    assert len(TABLE.findall(PAGES)) == len(TABLES)


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
        assert said == seeds(text_of(full(name)))
    for path in [*FOLDER.glob("*.png"), *REGISTERED.glob("*.png")]:
        (said,) = re.findall(rf"Seed ([\d, ]+)\.\n\n!\[.*\]\({path.parent.name}/{path.name}\)", PAGES)
        with Image.open(path) as image:
            assert said.replace(",", "") == seeds(image.text[FIGURE_KEY])


def test_the_speeds_on_the_page_of_baselines_are_those_of_the_csv():
    (text,) = re.findall(r"Glow samples .*?(?=\. All)", text_of("docs/baselines.md"), re.DOTALL)
    speeds = {row["run"]: row["sampling_images_per_second"] for row in rows_of("sampling")}
    models = ("glow", "vaeglow", "residual_flow", "pixeliqn", "pixelcnn")
    assert re.findall(r"[\d.]*\d", text) == [speeds[model] for model in models]


def test_the_registered_page_has_verdict_and_effects_of_every_claim():
    lines = [line for line in text_of("docs/registered-results.md").splitlines() if line.startswith("- **")]
    rows = read_csv(REGISTERED / f"claims{FULL}")
    assert len(lines) == len(rows)
    for line, row in zip(lines, sorted(rows, key=lambda row: row["family"]), strict=True):
        head = f"- **{row['verdict']}**, `{row['claim']}`: {row['statement']}"
        assert line.startswith(head)
        measured = line.removeprefix(head)
        note = f" ({row['note']})" if row["note"] else ""
        assert measured.startswith(f" ({row['effect']} ") if row["effect"] else measured == note
        assert row["beside"] in measured


def test_the_numbers_of_the_caveats_are_of_the_present_results():
    assert update.caveats(REGISTERED) in text_of("docs/registered-results.md")


@pytest.mark.parametrize(("seeds", "level"), [(3, 0.05), (5, 0.05 / 4)])
def test_a_mean_that_is_detectable_is_found_four_times_in_five(seeds, level):
    mean = update.detectable(seeds, level)
    draws = np.random.default_rng(0).normal(mean, 1, (20_000, seeds))
    assert np.mean(ttest_1samp(draws, 0, axis=1).pvalue < level) == approx(0.8, abs=0.01)


def test_the_page_of_claims_has_the_verdicts_of_the_csv():
    _, _, text = text_of("docs/measured-claims.md").partition("\n| Claim ")
    lines = re.findall(r"^\| .*", text.partition("\n\n")[0], re.MULTILINE)
    shown = {line.split()[1]: re.split(r"(?<!\\)\|", line) for line in lines[1:]}  # without the heading
    rows = {row["claim"]: row for row in read_csv(FOLDER / f"claims{FULL}")}
    assert shown.keys() == rows.keys()
    for name, row in rows.items():
        cells = shown[name]
        assert cells[-2].strip() == f"**{row['verdict']}**"
        interval = {*re.split(r"[\s\[\],]+", cells[4]), "-inf", "inf"}
        assert not row["effect"] or {row["effect"], row["low"], row["high"]} <= interval


def assert_roundings(text: str, *tables: str) -> None:
    """Each number of a text with a point is that of a measured cell of these tables, rounded."""
    measured = []
    for row in chain(*map(rows_of, tables)):
        cells = [row.get(key, "") for key in ("fid", "kid", "bits_per_dim", "speed_up")]
        measured += [float(cell) for cell in cells if NUMBER.fullmatch(cell) and row["source"] == "measured"]
    shown = numbers(text)
    assert shown
    for number in shown:
        half = 0.5 * 10 ** -len(number.partition(".")[2]) + 1e-9
        assert any(abs(float(number) - value) <= half for value in measured), number


def test_the_page_of_published_numbers_has_those_of_the_csvs():
    rows = [line.split("|") for line in re.findall(r"^\| (?:T|the same).*", text_of("docs/published.md"), re.MULTILINE)]
    assert_roundings(" ".join(row[3] for row in rows), "table1", "table2", "table3", "table4")
    page = " ".join(text_of("docs/published.md").split())
    (registered,) = re.findall(r"With \[rates searched (.*?)## What", page)
    layer = re.compile(r"the layer brings.*?\d\. ")
    assert_roundings(layer.sub("", registered), *FINISHED)
    sentences = layer.findall(registered)
    tables = ("distance_longer", "distance_longest")
    sets = ("prior_mean", "prior_layer", "posterior_layer")
    for sentence, table in zip(sentences, tables, strict=True):
        distances = rows_of(table)[0]
        assert numbers(sentence) == {f"{float(distances[f'fid_{name}']):.1f}" for name in sets}
    published = numbers(text_of("resources/published.csv"))
    assert numbers(" ".join(row[2] for row in rows)) <= published


def test_the_page_of_exploratory_results_begins_with_the_registered_claims_as_they_are_now():
    claims = re.findall(r"The primary claims:\n\n(.*?)\n\n", text_of("docs/registered-results.md"), re.DOTALL)
    assert len(claims) == 1
    assert claims[0] in text_of("docs/measured.md")


def test_the_results_in_the_readme_are_roundings_of_the_csvs():
    readme = " ".join(text_of("README.md").split())
    (text,) = re.findall(r"On CIFAR-10 as JPEG, at equal.*?\[Registered\]", readme)
    text = re.sub(r"Holds by construction.*?Undecided", "", text)  # ratios: the page of claims has them
    assert_roundings(text, "table2", "table3")
    (text,) = re.findall(r"\[Registered\].*?\Z", readme.partition("## Try it")[0])
    assert_roundings(text, *FINISHED)
    own = re.findall(r"^\| (\w+) \| Not of the paper", text_of("docs/measured-claims.md"), re.MULTILINE)
    verdicts = {True: Counter(), False: Counter()}  # of our own claims, and of the paper's
    for row in read_csv(FOLDER / "claims.csv"):
        verdicts[row["claim"] in own][row["verdict"].partition(" preset")[0]] += 1
    papers = verdicts[False]
    counts = [papers.total(), *(papers[name] for name in (HOLDS, FAILS, UNDECIDED, "needs"))]
    words = "Of {} claims of the paper {} hold, {} do not, {} are undecided and {} need"
    assert words.format(*counts) in readme.replace("*", "")
    assert f"of {len(own)} of our own {verdicts[True][HOLDS]} hold" in readme
