"""Several sets of samples: what a protocol says of them, and what tables say of their spread."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_tools import ROOT, shipped_config
from table_tools import change, form, row, run_table, spec_of, write_run

from vaeglow.config import effective, merge, plan
from vaeglow.config.check import check_config
from vaeglow.errors import UserError


def whole(changes: dict) -> dict:
    schema, published = ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv"
    return check_config(merge(shipped_config(), changes), schema, published)


def test_a_protocol_says_all_five_things_and_runs_draw_enough_samples() -> None:
    plain = effective(shipped_config(), "demo")
    for name, protocol in plain["protocols"].items():
        found = plan.protocol(plain, name)
        assert set(found) == {"split", "images", "features", "sets", "stretch"} and protocol.items() <= found.items()
    assert plan.protocol(plain, "dai-wipf")["stretch"] is True
    several = whole({"presets": {"demo": {"protocols": {"test-100-2048": {"sets": 4}}}}})
    assert plan.sample_counts(several["demo"])["photos32"] == 400
    assert plan.spec(several["demo"], "tables", "table2")["sets"] == 4
    claims = plan.spec(several["demo"], "claims")["claims"]
    assert {one["sets"] for one in claims.values() if one["protocol"] == "test-100-2048"} == {4}


def test_tables_show_the_spread_and_whose_it_is(tmp_path: Path) -> None:
    results, rows = tmp_path / "results", [row("vae", 0.0)]
    several = {"sets": 3, "seeds": [0, 3], "show": ["model", "fid", "kid"]}
    for seed, spread in ((0, 0.3), (3, 0.4)):
        write_run(results, "vae", [0.0], seed=seed, fid=10.0 + seed, fid_by_set=[9.0, 10.0, 11.0], fid_sd=spread)
    spec = spec_of("quality", rows, **several)
    (line,) = run_table(results, spec)
    assert (line["fid"], line["fid_sd"], line["fid_sd_over_sets"], line["fid_sets"]) == ("11.50", "2.12", "0.35", "3")
    text = form(results, spec)
    assert "11.50 ± 2.12 (± 0.35)" in text and "(± 0.00200)" in text
    assert "mean over 3 sets of 500 samples, each set against 500 images" in text
    assert "its standard deviation over the 3 sets" in text


def test_a_single_set_has_no_spread(tmp_path: Path) -> None:
    results, spec = tmp_path / "results", spec_of("quality", [row("vae", 0.0)])
    write_run(results, "vae", [0.0])
    assert run_table(results, spec)[0]["fid_sd_over_sets"] == "" and "±" not in form(results, spec)


@pytest.mark.parametrize(
    ("values", "says"), [({"fid_sets": 2}, "fid_sets is 2, wanted is 1"), ({"stretch": True}, "stretch is True")]
)
def test_numbers_of_other_sets_or_stretched_samples_are_refused(tmp_path: Path, values: dict, says: str) -> None:
    results, spec = tmp_path / "results", spec_of("quality", [row("vae", 0.0)])
    write_run(results, "vae", [0.0])
    change(results / "demo/photos32/vae/seed0/metrics/test-500-64/T0.0.json", **values)
    with pytest.raises(UserError, match=says):
        run_table(results, spec)


def test_a_stretched_protocol_says_so(tmp_path: Path) -> None:
    results, spec = tmp_path / "results", spec_of("quality", [row("vae", 0.0)], stretch=True)
    write_run(results, "vae", [0.0], stretch=True)
    assert run_table(results, spec)[0]["stretch"] == "yes"
    assert "stretched to the whole range, and those of real images not" in form(results, spec)
