"""What the README says of the demo is what docs/demo/update.py makes of docs/demo/*.csv."""

import re

import pytest

from docs.demo import update


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
