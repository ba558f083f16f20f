"""What the README says of the demo is what docs/demo/update.py makes of docs/demo/*.csv."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from table_tools import row, run_table, spec_of, write_run

from docs.demo import update
from vaeglow.errors import UserError


def test_the_readme_says_what_the_tables_hold():
    spread, table = update.pd.read_csv(update.SPREAD), update.read_csv(update.TABLE)
    (block,) = update.BLOCK.findall(update.README.read_text(encoding="utf-8"))
    assert block == update.block(spread, table, update.PICTURE)
    assert re.fullmatch("[0-9a-f]{64}", spread["source_sha256"].unique().item())
    first = spread[spread["instructions"] == spread["instructions"][0]]
    for (run, temperature), rows in first.groupby(["run", "temperature"]):
        (cells,) = table[(table["run"] == run) & (table["temperature"] == str(temperature))].to_dict("records")
        means = rows[["fid", "kid", "bits_per_dim"]].mean()
        shown = (f"{means['fid']:.2f}", f"{means['kid']:.5f}", f"{means['bits_per_dim']:.3f}")
        assert shown == (cells["fid"], cells["kid"], cells["bits_per_dim"])


ROWS = [row("glow", 1.0), row("vaeglow", 0.5), row("vaeglow", 1.0)]


def results(root: Path, code: str, shift: float) -> Path:
    """The results folder of a demo with two seeds, which that code made."""
    for seed in (0, 1):
        write_run(root, "glow", [1.0], seed=seed, fid=30.0 + seed + shift, bits=3.0, kid=0.02)
        write_run(root, "vaeglow", [0.5, 1.0], seed=seed, fid=20.25 + shift, bits=4.0 + seed / 4, kid=0.01)
    for path in root.rglob("*.json"):
        content = json.loads(path.read_text())
        content["provenance"]["source_sha256"] = code * 64
        path.write_text(json.dumps(content))
    run_table(root, spec_of("quality", ROWS, published="table2", seeds=[0, 1]))
    (root / "table2.csv").write_bytes((root / "demo/tables/table2.csv").read_bytes())
    (root / "samples.png").write_bytes(b"a picture")
    return root


@pytest.fixture
def readme(tmp_path, monkeypatch) -> Path:
    for name in ("README", "TABLE", "SPREAD", "PICTURE"):
        monkeypatch.setattr(update, name, tmp_path / name)
    update.README.write_text("before\n<!-- demo:begin -->\nold\n<!-- demo:end -->\nafter\n")
    return update.README


def test_runs_become_ranges_and_what_held_in_all_of_them(tmp_path, readme):
    one, other = results(tmp_path / "one", "a", 0.0), results(tmp_path / "other", "a", 12.5)
    update.main([f"native={one}", f"avx2={other}"])
    text = readme.read_text()
    assert text.startswith("before\n<!-- demo:begin -->\n| Model") and text.endswith("\n<!-- demo:end -->\nafter\n")
    assert "| Glow, T=1.0 | 30.0 to 43.5 | 0.020 (± 0.002) | 3.00 | 10 | 10 |" in text
    assert "T=0.5 | 20.2 to 32.8 | 0.010 (± 0.002) | ≤ 4.00 to 4.25 | 5+4 | 20 |" in text
    assert (
        "4 run(s): seed 0, 1 with the instruction set\nnative, avx2, on A CPU" in text and "`aaaaaaaaaaaaaaaa`" in text
    )
    assert "- bits/dim: Glow < Ours\n- FID: Ours T=0.5, Ours T=1.0 < Glow T=1.0\n" in text
    assert "PixelIQN FID 49.46; Glow FID 46.90, 3.35 bits/dim" in text
    update.main([])
    assert readme.read_text() == text


def test_runs_of_two_codes_are_refused_before_anything_is_written(tmp_path, readme):
    before = readme.read_text()
    with pytest.raises(UserError, match=r"not of one code: a{64}, b{64}"):
        update.main([f"native={results(tmp_path / 'one', 'a', 0)}", f"avx2={results(tmp_path / 'other', 'b', 0)}"])
    assert readme.read_text() == before and not update.SPREAD.exists()


@pytest.mark.parametrize(
    ("values", "errors", "says"),
    [
        ({"a": [1, 3], "b": [2, 2.5]}, None, "a, b"),
        ({"a": [1, 1], "b": [2, 0], "c": [3, 3], "d": [2.5, 5]}, None, "a, b < c, d"),
        ({"a": [1, 5], "b": [2, 6], "c": [3, 4]}, None, "a, c, b; a < b"),
        ({"a": [1], "b": [1.9]}, {"a": [0.3], "b": [0.4]}, "a, b"),
        ({"a": [1], "b": [2.1]}, {"a": [0.3], "b": [0.4]}, "a < b"),
    ],
)
def test_only_what_held_every_time_is_an_order(values, errors, says):
    assert update.order(values, errors) == says
