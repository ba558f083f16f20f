"""What `make table2` and `make all` print at their end."""

from waiting import ROOT

from vaeglow.files import read_csv
from vaeglow.reporting.terminal import WIDTH, claims_text, table_text

MEASURED = ROOT / "docs/measured"


def test_a_table_fits_a_terminal_measured_rows_first():
    path = ROOT / "docs/demo/table2.full.csv"
    body, notes, rest = table_text(path).split("\n\n")
    rows = read_csv(path)
    ours = [row for row in rows if row["source"] == "measured"]
    lines = body.splitlines()[2:]
    assert len(lines) == len(rows)
    for line, row in zip(lines, ours, strict=False):
        assert line.startswith(row["model"]) and line.endswith("measured") and f" {row['fid']} " in line
        assert (f"≤ {row['bits_per_dim']}" in line) == (row["bound"] == "<=")
    assert notes.count("\n- ") == 2 and str(path) in rest
    assert max(map(len, table_text(path).replace(str(ROOT), "").splitlines())) <= WIDTH


def test_claims_are_counted_and_the_named_ones_told():
    rows = {row["claim"]: row for row in read_csv(MEASURED / "claims.csv")}
    text = claims_text(MEASURED / "claims.csv", ["quality_main", "fid_main"])
    numbers = [int(word) for word in text.partition("- ")[0].split() if word.isdigit()]
    assert numbers[0] == len(rows) == sum(numbers[1:])
    assert "- {verdict}: {statement} ({effect} [".format(**rows["quality_main"]) in text
    assert f"- needs preset paper: {rows['fid_main']['statement']}\n" in text


def test_a_split_verdict_is_one_that_cannot_be_said(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_text("claim,verdict,preset\na,holds,cpu\nb,split,cpu\nc,undecided,cpu\nd,2 of 5 seeds,cpu\n")
    text = " ".join(claims_text(path, ["tested_elsewhere"]).split())
    assert "Of 4 claims, at preset cpu: 1 hold, 0 do not; 2 cannot be said" in text
    assert "1 need other networks, data or seeds" in text
