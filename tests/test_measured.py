"""The published study: its pages and the README's results say what its CSVs say."""

import re
from collections import Counter

import pytest
from waiting import ROOT

from vaeglow.files import read_csv
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, UNDECIDED
from vaeglow.reporting.traced import FULL

FOLDER = ROOT / "docs/measured"
NUMBER = re.compile(r"-?\d+\.\d+")
# A table, and what follows up to the link to its CSV.
TABLE = re.compile(r"((?:^\|.*\n)+)(?:(?![|#]).*\n)*?\[(\w+)\.csv\]\(measured", re.MULTILINE)
TABLES = [
    (page.name, *found) for page in ROOT.glob("docs/measured*.md") for found in TABLE.findall(page.read_text("utf-8"))
]


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(text))


def test_every_csv_with_a_table_is_on_a_page():
    assert {name for *_, name in TABLES} == {path.name.removesuffix(FULL) for path in FOLDER.glob(f"*{FULL}")} - {
        "claims"
    }


@pytest.mark.parametrize(("page", "text", "name"), TABLES, ids=[name for *_, name in TABLES])
def test_a_table_has_the_numbers_of_its_csv(page, text, name):
    rows, shown = read_csv(FOLDER / f"{name}{FULL}"), text.splitlines()[2:]
    assert len(rows) == len(shown) and numbers(text)
    for line in shown:
        cells = line.split("|", 2)[2]  # without the label, which may name a temperature
        assert any(numbers(cells) <= numbers(" ".join(row.values())) for row in rows), line


def test_the_page_of_claims_has_the_verdicts_of_the_csv():
    page = (ROOT / "docs/measured-claims.md").read_text("utf-8")
    claims = {row["claim"]: row for row in read_csv(FOLDER / "claims.full.csv")}
    lines = [re.split(r"(?<!\\)\|", line) for line in page.splitlines() if line.startswith("| ")]
    shown = {cells[1].strip(): cells for cells in lines}
    del shown["Claim"]
    assert shown.keys() == claims.keys()
    for name, cells in shown.items():
        row = claims[name]
        assert cells[-2].strip() == f"**{row['verdict']}**"
        assert not row["effect"] or {row["effect"], row["low"], row["high"]} <= set(
            re.split(r"[\s\[\],]+", cells[4])
        ) | {"-inf", "inf"}


def test_the_results_in_the_readme_are_roundings_of_the_csvs():
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    (said,) = re.findall(r"On CIFAR-10 as JPEG \(.*?\[results\]", readme)
    rows = [row for name in ("table2", "table3") for row in read_csv(FOLDER / f"{name}{FULL}")]
    measured = [float(row[key]) for row in rows for key in ("fid", "bits_per_dim") if NUMBER.fullmatch(row[key])]
    found = numbers(said)
    assert len(found) >= 6
    for number in found:
        half = 0.5 * 10 ** -len(number.partition(".")[2]) + 1e-9
        assert any(abs(float(number) - value) <= half for value in measured), number
    verdicts = Counter(row["verdict"] for row in read_csv(FOLDER / "claims.csv"))
    (counts,) = re.findall(r"Of (\d+) claims, (\d+) hold, (\d+) do not, (\d+) are undecided and (\d+) need", readme)
    needed = sum(count for name, count in verdicts.items() if name.startswith("needs"))
    named = [verdicts.total(), *(verdicts[name] for name in (HOLDS, FAILS, UNDECIDED)), needed]
    assert [int(count) for count in counts] == named
