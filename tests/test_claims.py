"""The step `claims`: the two files it writes, and its messages."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from claims_tools import claim, spec, write_world
from table_tools import spec_file

from vaeglow.errors import UserError
from vaeglow.paths import RESULTS
from vaeglow.reporting.claims.ledger import COLUMNS, build_ledger
from vaeglow.reporting.claims.needs import needed
from vaeglow.reporting.claims.page import to_markdown
from vaeglow.reporting.claims.registry import KINDS
from vaeglow.steps import claims

MEAN = {"temperature": 0.0}
CONFIG = Path(__file__).parents[1] / "config/claims.yaml"
ENTRIES = {
    "likelihood": claim("bits", better="near", worse="far", statement="Fewer bits | dim", published="<= 3.17, 3.35"),
    "smoothness": claim("smooth", model="near", space="prior", threshold=0.5),
    "trained": claim("bits", better="near", worse="far", training=True),
    "equal": claim("kid_same", one=MEAN | {"model": "a"}, other=MEAN | {"model": "b"}, margin=0.9),
    "off": claim("information", higher="near", lower="far", value="kl_nats", enabled=False),
}


def world(need, seed):
    if need["what"] == "interpolation":
        return [[0.1, 3.0, 0.1]] * 4
    return {"near": 0.0, "far": 1.0}.get(need["model"], 1.5)


@pytest.fixture
def results(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for entry in ENTRIES.values():
        if entry["enabled"]:
            write_world(Path("results"), entry, world, [0])
    return tmp_path / "results"


def run(entries: dict = ENTRIES, seeds: tuple[int, ...] = (0,)) -> tuple[list[dict[str, str]], str]:
    output = Path("results/demo/claims.csv")
    command = ["--spec", spec_file(Path("results"), spec(entries, list(seeds))), "--results-root", "results"]
    claims.main(
        [
            *command,
            "--output",
            str(output),
            "--markdown",
            str(output.with_suffix(".md")),
            "--html",
            str(output.with_suffix(".html")),
        ]
    )
    return list(csv.DictReader(io.StringIO(output.read_text()))), output.with_suffix(".md").read_text()


def test_the_csv_has_a_row_a_claim_with_its_interval_verdict_and_evidence(results):
    rows, _ = run()
    assert list(rows[0]) == list(COLUMNS)
    assert {row["claim"]: row["verdict"] for row in rows} == {
        "likelihood": "holds",
        "smoothness": "does not hold",
        "trained": "undecided",
        "equal": "holds",
        "off": "not run at this preset",
    }
    for row in rows:
        assert row["preset"] == "demo" and row["dataset"] == "toys" and row["statement"] and row["where"]
        if row["claim"] == "off":
            assert not any(row[key] for key in ("effect", "low", "high", "unit", "interval", "evidence", "seeds"))
            continue
        assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
        assert row["interval"].startswith("bootstrap over") and row["seeds"] == "0"
        evidence = row["evidence"].split("; ")
        assert all(path.startswith("results/demo/toys/") and Path(path).is_file() for path in evidence)


def test_the_page_shows_the_rule_each_claim_with_its_interval_and_the_scale(results):
    rows, page = run()
    assert "5 claims at preset demo, seeds 0: holds 2, does not hold 1, undecided 1, not run at this preset 1." in page
    assert "**Demo scale**" in page and "## The rule" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows)
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1  # a | in a statement makes no column
    for line, row in zip(table[2:], rows, strict=True):
        assert row["claim"] in line and f"**{row['verdict']}**" in line
        if row["low"]:
            assert f"{row['effect']} [{row['low']}, {row['high']}] {row['unit']}" in line
        assert f"**{row['claim']}** ({row['verdict']})." in page
    assert "> 0.5" in page and "< 0.9" in page and "any amount" in page
    assert not {"nan", "None"} & set(page.replace("|", " ").split())


def test_the_ledger_is_the_same_each_time(results):
    assert run() == run()


def test_no_demo_note_at_another_preset(results):
    ledger = build_ledger(spec({"off": ENTRIES["off"]}, [0]), "results")
    assert "Demo scale" not in to_markdown(ledger, spec({"off": ENTRIES["off"]}, [0]) | {"preset": "paper"})


def test_run_overrides_enabled(results):
    rows, _ = run({"likelihood": ENTRIES["likelihood"] | {"run": False}})
    assert rows[0]["verdict"] == "not run at this preset"


def test_three_seeds_decide_a_claim_about_training(results):
    write_world(Path("results"), ENTRIES["trained"], world, [1, 2])
    rows, _ = run({"trained": ENTRIES["trained"]}, (0, 1, 2))
    assert (rows[0]["verdict"], rows[0]["interval"], rows[0]["seeds"]) == ("holds", "t over 3 seeds", "0 1 2")
    assert len(rows[0]["evidence"].split("; ")) == 12


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"x": claim("bitz", better="near", worse="far")}, "did you mean 'bits'"),
        ({"x": claim("bits", better="near", worse="nobody")}, "nobody/seed0/likelihood.json does not exist"),
        ({}, "no claims"),
    ],
)
def test_bad_input_is_one_line(results, entries, words):
    with pytest.raises(UserError, match=words) as error:
        run(entries)
    assert "\n" not in str(error.value)


def test_a_seed_without_files_is_one_line(results):
    with pytest.raises(UserError, match=r"claim likelihood: .*seed7.* does not exist"):
        run(seeds=(0, 7))


def test_the_ledger_needs_no_torch_and_planning_no_pandas():
    for code, banned in (
        ("import vaeglow.reporting.claims.ledger, vaeglow.reporting.claims.page", ["torch"]),
        ("import vaeglow.reporting.claims.needs", ["torch", "pandas", "numpy", "scipy"]),
    ):
        check = f"import sys\n{code}\nsys.exit(any(name in sys.modules for name in {banned}))"
        assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_claims_of_the_config_are_of_known_kinds_and_need_known_results():
    for name, entry in yaml.safe_load(CONFIG.read_text())["claims"].items():
        assert entry["kind"] in KINDS, name
        assert ("margin" in entry) != ("threshold" in entry), name
        needs = needed(entry)
        assert needs and all(need["what"] in RESULTS and need["model"] and need["dataset"] for need in needs), name
