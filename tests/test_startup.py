"""What stands between a command and its first work: imports, and planning."""

from __future__ import annotations

import sys

from run_tools import shipped_config
from waiting import ROOT, call

from vaeglow.config import layers, merge, plan
from vaeglow.config.check import check_config

HEAVY = {"pandas", "scipy", "torchvision", "matplotlib", "sklearn", "skimage", "pytorch_fid"}


def test_training_and_sampling_load_nothing_that_they_do_not_need():
    code = (
        "import sys; import vaeglow.training.run, vaeglow.training.timing, vaeglow.evaluation.trained, "
        f"vaeglow.weights; print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = call([sys.executable, "-c", code])
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_curves_resolve_each_run_once(monkeypatch):
    config = shipped_config()
    whole = check_config(config, ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv")
    asked: list[tuple] = []
    depth = 0
    plain = plan.resolve

    def resolve(config, preset, dataset, model, seed):
        nonlocal depth
        if not depth:  # a base is resolved inside
            asked.append((preset, dataset, model, seed))
        depth += 1
        try:
            return plain(config, preset, dataset, model, seed)
        finally:
            depth -= 1

    monkeypatch.setattr(plan, "resolve", resolve)
    monkeypatch.setattr(layers, "resolve", resolve)
    assert plan.pages(config, whole["demo"])
    assert len(asked) == len(set(asked)) > 5


def test_merging_shares_nothing_with_what_was_merged():
    base, change = {"a": {"b": [1, {"c": 2}], "d": 3}, "e": [4]}, {"a": {"d": [5]}, "f": {"g": [6]}}
    merged = merge(base, change)
    assert merged == {"a": {"b": [1, {"c": 2}], "d": [5]}, "e": [4], "f": {"g": [6]}}
    assert list(merged) == ["a", "e", "f"]
    merged["a"]["b"][1]["c"] = merged["e"][0] = merged["a"]["d"][0] = merged["f"]["g"][0] = 0
    assert base == {"a": {"b": [1, {"c": 2}], "d": 3}, "e": [4]} and change == {"a": {"d": [5]}, "f": {"g": [6]}}


def test_merging_replaces_with_null_and_with_other_kinds():
    assert merge({"a": {"b": 1}, "c": 2}, {"a": None, "c": {"d": 3}}) == {"a": None, "c": {"d": 3}}
