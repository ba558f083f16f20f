"""The files of the ledger, by the step."""

from pathlib import Path

import yaml
from claims_tools import claim, spec, write_world
from run_tools import run_step
from table_tools import as_expected, spec_file

from vaeglow.files import read_csv
from vaeglow.reporting.claims.ledger import COLUMNS, build_ledger, to_markdown

ENTRIES = yaml.safe_load("""
likelihood: {kind: bits, better: near, worse: far, statement: Fewer bits | dim, published: "<= 3.17, 3.35"}
smoothness: {kind: smooth, model: near, space: prior, threshold: 0.5}
trained: {kind: bits, better: near, worse: far, training: true}
equal: {kind: kid_same, one: {model: a, temperature: 0.0}, other: {model: b, temperature: 0.0}, margin: 0.9}
"off": {kind: information, higher: near, lower: far, value: kl_nats, run: false, unfit: Too small}
elsewhere: {kind: bits_reached, better: near, value: 3.17, run: false, needs: paper, takes: 71 hours}
""")
ENTRIES = {name: claim(**entry) for name, entry in ENTRIES.items()}


def world(need, seed):
    if need["what"] == "interpolation":
        return [[0.1, 3.0, 0.1]] * 4
    return {"near": 0.0, "far": 1.0}.get(need["model"], 1.5)


def test_the_page_is_as_expected_and_the_csv_has_the_same_row_a_claim(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for entry in ENTRIES.values():
        if entry["run"]:
            write_world(Path("results"), entry, world, [0])
    forms = [Path(f"results/demo/claims.{form}") for form in ("csv", "full.csv", "md", "html")]
    run_step(
        "claims",
        spec=spec_file(Path("results"), spec(ENTRIES, [0])),
        results_root="results",
        output=forms,
    )
    plain, full, markdown, html = forms
    assert "<table" in html.read_text()
    rows = read_csv(full)
    assert read_csv(plain) == [dict(list(row.items())[:15]) for row in rows]
    page = markdown.read_text()
    as_expected(tmp_path / "claims.md", page)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["claim"] for row in rows] == list(ENTRIES)
    for row in rows:
        measured = f"{row['effect']} [{row['low']}, {row['high']}] {row['unit']}" if row["evidence"] else "-"
        shown = [measured, row["needed"], row["dataset"], row["seeds"] or "-", row["status"], row["looks"]]
        assert f"| {' | '.join(shown)} | **{row['verdict']}** |" in page
    assert "Demo scale" not in to_markdown(build_ledger(spec({}, [0]), "results"), spec({}, [0]) | {"preset": "paper"})
