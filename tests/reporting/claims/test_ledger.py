"""The files of the ledger, by the step."""

from pathlib import Path

import yaml
from claims_tools import claim, spec, write_world
from run_tools import run_step
from table_tools import spec_file

from vaeglow.files import read_csv
from vaeglow.reporting.claims.ledger import COLUMNS, build_ledger, to_markdown

# Entries of a ledger, their verdicts, and the notes of those that are not measured.
ENTRIES = yaml.safe_load("""
likelihood: {kind: bits, better: near, worse: far, statement: Fewer bits | dim, published: "<= 3.17, 3.35"}
smoothness: {kind: smooth, model: near, space: prior, threshold: 0.5}
trained: {kind: bits, better: near, worse: far, training: true}
equal: {kind: kid_same, one: {model: a, temperature: 0.0}, other: {model: b, temperature: 0.0}, margin: 0.9}
"off": {kind: information, higher: near, lower: far, value: kl_nats, run: false, unfit: Too small}
elsewhere: {kind: bits_reached, better: near, value: 3.17, run: false, needs: paper, takes: 71 hours}
""")
ENTRIES = {name: claim(**entry) for name, entry in ENTRIES.items()}
VERDICTS = yaml.safe_load("""
likelihood: holds
smoothness: does not hold
trained: undecided
equal: holds
"off": not run at this preset
elsewhere: needs preset paper
""")
NOTES = {"off": "Too small", "elsewhere": "`make study PRESET=paper` measures it; the runs it reads take 71 hours."}


def world(need, seed):
    if need["what"] == "interpolation":
        return [[0.1, 3.0, 0.1]] * 4
    return {"near": 0.0, "far": 1.0}.get(need["model"], 1.5)


def run() -> tuple[list[dict[str, str]], str]:
    """The ledger's rows and its page, by the step."""
    forms = [Path(f"results/demo/claims.{form}") for form in ("csv", "full.csv", "md", "html")]
    plain, full, markdown, html = forms
    run_step("claims", spec=spec_file(Path("results"), spec(ENTRIES, [0])), results_root="results", output=forms)
    assert "<table" in html.read_text()
    rows = read_csv(full)
    assert read_csv(plain) == [dict(list(row.items())[:15]) for row in rows]
    return rows, markdown.read_text()


def test_the_csv_has_a_row_a_claim_and_the_page_shows_it_with_the_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for entry in ENTRIES.values():
        if entry["run"]:
            write_world(Path("results"), entry, world, [0])
    rows, page = run()
    assert run() == (rows, page)
    assert list(rows[0]) == list(COLUMNS)
    assert {row["claim"]: row["verdict"] for row in rows} == VERDICTS
    for row in rows:
        assert row["preset"] == "demo"
        assert row["dataset"] == "toys"
        assert row["statement"]
        assert row["where"]
        if row["claim"] in NOTES:
            assert not any(row[key] for key in ("effect", "low", "high", "unit", "interval", "evidence", "seeds"))
            assert row["note"] == NOTES[row["claim"]]
        else:
            assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
            assert row["interval"].startswith("bootstrap over")
            assert row["seeds"] == "0"
            assert all(path.startswith("results/demo/toys/") for path in row["evidence"].split("; "))
    assert "6 claims at preset demo, seeds 0: holds 2, does not hold 1, undecided 1, not run at this preset 1, " in page
    assert "needs preset paper 1.\n" in page
    assert "Measured on: A CPU; commits: abc." in page
    assert {row["device"] for row in rows} == {"A CPU", ""}
    assert "**Demo scale**" in page
    assert "## The rule" in page
    assert "> 0.5" in page
    assert "< 0.9" in page
    assert "any amount" in page
    assert not {"nan", "None"} & set(page.replace("|", " ").split())
    assert "Demo scale" not in to_markdown(build_ledger(spec({}, [0]), "results"), spec({}, [0]) | {"preset": "paper"})
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1  # a | in a statement makes no column
    for line, row in zip(table[2:], rows, strict=True):
        assert row["claim"] in line
        assert f"**{row['verdict']}**" in line
        if row["low"]:
            assert f"{row['effect']} [{row['low']}, {row['high']}] {row['unit']}" in line
        assert f"**{row['claim']}** ({row['verdict']})." in page
