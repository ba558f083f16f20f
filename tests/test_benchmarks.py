"""The benchmark: its peers do the same work, its counts count, and its verdicts follow from its numbers."""

import importlib.util
import json
import re

import pytest
import torch
from models_tools import PAPER, randomise
from refusals import user_error
from torch import nn
from waiting import python, said

from benchmarks import __main__ as benchmark
from benchmarks.case import Case, Measured, Peer, Row, Setting, divide, measure, spread
from benchmarks.cases import layer as layer_cases
from benchmarks.cost import ByteCounter, count
from benchmarks.plain_layer import PlainGlowLayer
from benchmarks.work import OPTIONS
from vaeglow.models.glow_layer import GlowLayer


@pytest.mark.parametrize("squeeze", [1, 2])
def test_the_plain_layer_is_the_packages_layer(squeeze):
    layer, plain = (kind(3, 3, 8, squeeze, **PAPER) for kind in (GlowLayer, PlainGlowLayer))
    layer.initialise(torch.rand(16, 3, 8, 8))
    randomise(layer)
    plain.load_state_dict(layer.state_dict())
    x = torch.rand(4, 3, 8, 8)
    y, log_det = layer(x)
    same, same_log_det = plain(x)
    torch.testing.assert_close(same, y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(same_log_det.expand(4), log_det.expand(4), rtol=1e-4, atol=1e-4)
    for values, change in ((y, log_det), (same, same_log_det)):
        (values.square().sum() + change.mean()).backward()
    for ours, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-3, atol=1e-3)


def facts_of(case: Case, setting: Setting) -> dict[str, dict]:
    """Each peer's facts, its step taken once; what is compiled needs a compiler and a minute, and is left out."""
    found = {}
    for peer in case.peers:
        if peer.name == "vaeglow" or peer.name not in {*OPTIONS, "compile"}:
            step, images, facts = peer.build(setting)
            step()
            assert images > 0
            found[peer.name] = json.loads(json.dumps(facts))
    return found


BROKEN = {
    "glow": {"losses": [3.0, 4.0]},
    "layer": {"losses": [1.0] * 5},
    "features": {"features": [0.5] * 4 * 2048},
    "vae-demo": {"losses": [1.0] * 3},
}
NORMFLOWS = pytest.mark.skipif(importlib.util.find_spec("normflows") is None, reason="normflows is not installed")
MARKS = {"features": pytest.mark.slow, "glow": NORMFLOWS, "sampling": NORMFLOWS}
NAMES = [*(case.name for case in benchmark.CASES), "vae-demo", "depth-vaeglow"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in NAMES])
def test_peers_work_and_agree_and_a_case_sees_when_they_do_not(name, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.cost.SIDE", 128)
    case = benchmark.NAMED[name]
    facts = facts_of(case, Setting("cpu", 1, True, tmp_path))
    case.check(facts)
    if name in BROKEN:
        first, *_ = facts.values()
        first |= BROKEN[name]
        with pytest.raises((ValueError, AssertionError)):
            case.check(facts)


@pytest.mark.slow
def test_the_command_takes_turns_prints_the_ratios_last_and_writes_them(tmp_path):
    output = tmp_path / "benchmark.json"
    words = ("--quick", "--only", "data", "table4", "--threads", "1", "--output", output)
    printed = said(python("-m", "benchmarks", *words))
    assert printed.rstrip().endswith("--quick: tiny sizes, so these ratios mean nothing")
    cases = json.loads(output.read_text())["cases"]
    table4 = cases["table4"]
    assert len(table4["ratios"]) == 6 and table4["peers"].keys() == {*layer_cases.MODELS}
    for peer in cases["data"]["peers"].values():
        assert len(peer["seconds"]) == 2 and min(peer["seconds"]) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device that is asked for is available")
def test_a_peer_that_cannot_work_is_one_line(tmp_path):
    with user_error("^case data, step: device cuda was requested"):
        measure(benchmark.NAMED["data"], Setting("cuda", 1, True, tmp_path), rounds=1)


def case_of_one(module: str | None = None) -> Case:
    return Case("mine", "Mine", [Peer("one", "One", lambda _: (print, 1, {}), module=module)], lambda _: [])


def test_a_case_whose_peer_is_not_installed_is_left_out_or_refused(capsys):
    case = case_of_one("no_such_module")
    assert not benchmark.runs(case, asked=None)
    assert benchmark.runs(benchmark.NAMED["data"], asked=None)
    assert capsys.readouterr().err == "left out: case mine needs no_such_module: pip install -e '.[bench]'\n"
    with user_error("case mine needs no_such_module"):
        benchmark.runs(case, asked=["mine"])


def test_ratios_are_taken_round_by_round_and_the_median_decides():
    assert divide([2.0, 6.0], [1.0, 2.0]) == [2.0, 3.0]
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "low_quartile": 2.0, "high_quartile": 4.0}
    rows = {
        Row("a / b", (1, 2, 9), 2): ["a / b", "2", "1.5 to 5.5", "at least 2", "met"],
        Row("c / d", (0.3,), 0.02, at_least=False): ["c / d", "0.3", "", "at most 0.02", "missed"],
        Row("e / f", (3,), note="paper: 3.66"): ["e / f", "3", "", "paper: 3.66", ""],
    }
    _, _, *lines = benchmark.ratios_table([("x", row) for row in rows]).splitlines()
    assert [re.split(r" *\| *", line)[2:-1] for line in lines] == [*rows.values()]


def test_table_4_is_glow_over_the_average_of_both_phases():
    numbers = {"glow": (8, 80, 12), "vae": (1, 10, 2), "vaeglow": (3, 30, 4), "vaeglow_as_written": (7, 10, 10)}
    measured = {n: Measured(4, [s], 3, 1, {"flops": f, "bytes": b}) for n, (s, f, b) in numbers.items()}
    assert [row.values for row in layer_cases.table4_rows(measured)] == [[4], [4], [4], [2], [8], [2]]


def test_counts_of_bytes_and_operations():
    a, b = torch.zeros(2, 10, 10)
    x = torch.zeros(5, 20)
    network = nn.Linear(20, 30, bias=False)
    with ByteCounter() as counter:  # read and written; a view has none
        a + b
        a.view(100)[:50].expand(3, 50)
    assert counter.by_name.total() == 3 * 400
    assert count(lambda: network(x))["flops"] == 2 * 5 * 20 * 30  # a multiply-add is two
    assert count(lambda: network(x).sum().backward())["flops"] == 2 * 2 * 5 * 20 * 30  # x needs no gradient
