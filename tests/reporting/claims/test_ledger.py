"""The step `claims`: the two files it writes, and its messages."""

import csv
from pathlib import Path

from claims_tools import claim, spec, write_world
from table_tools import spec_file

from vaeglow.reporting.claims.ledger import COLUMNS, build_ledger, to_markdown
from vaeglow.steps import claims

MEAN = {"temperature": 0.0}
ENTRIES = {
    "likelihood": claim("bits", better="near", worse="far", statement="Fewer bits | dim", published="<= 3.17, 3.35"),
    "smoothness": claim("smooth", model="near", space="prior", threshold=0.5),
    "trained": claim("bits", better="near", worse="far", training=True),
    "equal": claim("kid_same", one=MEAN | {"model": "a"}, other=MEAN | {"model": "b"}, margin=0.9),
    "off": claim("information", higher="near", lower="far", value="kl_nats", run=False, unfit="Too small"),
}
VERDICTS = {"likelihood": "holds", "smoothness": "does not hold", "trained": "undecided", "equal": "holds"}
VERDICTS["off"] = "not run at this preset"


def world(need, seed):
    if need["what"] == "interpolation":
        return [[0.1, 3.0, 0.1]] * 4
    return {"near": 0.0, "far": 1.0}.get(need["model"], 1.5)


def run() -> tuple[list[dict[str, str]], str]:
    paths = {form: Path(f"results/demo/claims.{form}") for form in ("csv", "md", "html")}
    words = ["--spec", spec_file(Path("results"), spec(ENTRIES, [0])), "--results-root", "results"]
    words += ["--output", str(paths["csv"]), "--markdown", str(paths["md"]), "--html", str(paths["html"])]
    claims.main(words)
    assert "<table" in paths["html"].read_text()
    with open(paths["csv"], newline="") as file:
        return list(csv.DictReader(file)), paths["md"].read_text()


def test_the_csv_has_a_row_a_claim_and_the_page_shows_it_with_the_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, entry in ENTRIES.items():
        if name != "off":
            write_world(Path("results"), entry, world, [0])
    rows, page = first = run()
    assert run() == first
    assert list(rows[0]) == list(COLUMNS)
    assert {row["claim"]: row["verdict"] for row in rows} == VERDICTS
    for row in rows:
        assert row["preset"] == "demo" and row["dataset"] == "toys" and row["statement"] and row["where"]
        if row["claim"] == "off":
            assert not any(row[key] for key in ("effect", "low", "high", "unit", "interval", "evidence", "seeds"))
            assert row["note"] == "Too small"
            continue
        assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
        assert row["interval"].startswith("bootstrap over") and row["seeds"] == "0"
        assert all(path.startswith("results/demo/toys/") for path in row["evidence"].split("; "))
    assert "5 claims at preset demo, seeds 0: holds 2, does not hold 1, undecided 1, not run at this preset 1." in page
    assert "**Demo scale**" in page and "## The rule" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1  # a | in a statement makes no column
    for line, row in zip(table[2:], rows, strict=True):
        assert row["claim"] in line and f"**{row['verdict']}**" in line
        if row["low"]:
            assert f"{row['effect']} [{row['low']}, {row['high']}] {row['unit']}" in line
        assert f"**{row['claim']}** ({row['verdict']})." in page
    assert "> 0.5" in page and "< 0.9" in page and "any amount" in page
    assert not {"nan", "None"} & set(page.replace("|", " ").split())
    assert "Demo scale" not in to_markdown(build_ledger(spec({}, [0]), "results"), spec({}, [0]) | {"preset": "paper"})
