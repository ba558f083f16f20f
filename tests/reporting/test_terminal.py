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
    assert [line.split()[-1] for line in lines] == ["measured"] * len(ours) + ["published"] * (len(rows) - len(ours))
    for line, row in zip(lines, ours, strict=False):
        assert line.startswith(row["model"]) and f" {row['fid']} " in line and f" {row['bits_per_dim']} " in line
        assert (f"≤ {row['bits_per_dim']}" in line) == (row["bound"] == "<=")
    assert notes.count("\n- ") == 2 and str(path) in rest
    assert max(map(len, table_text(path).replace(str(ROOT), "").splitlines())) <= WIDTH


def test_claims_are_counted_and_the_named_ones_told():
    rows = {row["claim"]: row for row in read_csv(MEASURED / "claims.csv")}
    text = claims_text(MEASURED / "claims.csv", ["quality_main", "fid_main"])
    numbers = [int(word) for word in text.partition("- ")[0].split() if word.isdigit()]
    assert numbers[0] == len(rows) == sum(numbers[1:])
    verdicts = [row["verdict"] for row in rows.values()]
    assert numbers[1:4] == [verdicts.count(verdict) for verdict in ("holds", "does not hold", "undecided")]
    assert "- {verdict}: {statement} ({effect} [".format(**rows["quality_main"]) in text
    assert f"- needs preset paper: {rows['fid_main']['statement']}\n" in text


def test_a_split_verdict_is_one_that_cannot_be_said(tmp_path):
    verdicts = ["holds", "split", "undecided", "2 of 5 seeds"]
    lines = [f"{number},{verdict},cpu" for number, verdict in enumerate(verdicts)]
    path = tmp_path / "claims.csv"
    path.write_text("\n".join(["claim,verdict,preset", *lines]))
    text = claims_text(path, ["tested_elsewhere"])
    assert "Of 4 claims, at preset cpu: 1 hold, 0 do not; 2 cannot be said" in text
    assert "1 need other trainings" in " ".join(text.split())
