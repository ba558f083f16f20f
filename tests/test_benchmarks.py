"""The benchmark: its peers do the same work, its counts count, and its verdicts follow from its numbers."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from waiting import call

from benchmarks import __main__ as benchmark
from benchmarks.case import Case, Measured, Peer, Row, Setting, Work, require_close, spread, times_faster
from benchmarks.cases import CASES, find, table4
from benchmarks.counts import ByteCounter, count
from benchmarks.interleave import measure
from benchmarks.peers.plain_layer import PlainGlowLayer
from benchmarks.steps import OPTIONS, require_falling
from benchmarks.table import peers_table, ratios_table
from vaeglow.errors import UserError
from vaeglow.models.glow_layer import GlowLayer

NO_NORMFLOWS = importlib.util.find_spec("normflows") is None


def moved_layer(squeeze: int) -> GlowLayer:
    """A Glow layer whose every parameter differs from its start."""
    torch.manual_seed(0)
    layer = GlowLayer(channels=3, depth=3, width=8, squeeze=squeeze)
    layer.initialise(torch.rand(16, 3, 8, 8))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return layer


@pytest.mark.parametrize("squeeze", [1, 2])
def test_the_plain_layer_is_the_packages_layer(squeeze):
    layer, plain = moved_layer(squeeze), PlainGlowLayer(channels=3, depth=3, width=8, squeeze=squeeze)
    plain.load_state_dict(layer.state_dict())
    x = torch.rand(4, 3, 8, 8)
    found = []
    for one in (layer, plain):
        y, log_det = one(x)
        (y.square().sum() + log_det.sum() / log_det.numel()).backward()
        gradients = {name: parameter.grad for name, parameter in one.named_parameters()}
        found.append((y.detach(), log_det.detach().expand(4), gradients))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-5, atol=1e-4)
    assert found[1][2].keys() == found[0][2].keys()
    for name, gradient in found[0][2].items():
        torch.testing.assert_close(found[1][2][name], gradient, rtol=1e-3, atol=1e-3, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(plain.inverse(found[0][0]), x, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------------ the cases

IN_PROCESS = [  # case, peer; what is compiled needs a compiler and a minute, Inception seconds
    pytest.param(
        case.name,
        peer.name,
        id=f"{case.name}-{peer.name}",
        marks=[
            *([pytest.mark.slow] if case.name == "features" else []),
            *([pytest.mark.skipif(NO_NORMFLOWS, reason="normflows is not installed")] if peer.module else []),
        ],
    )
    for case in CASES
    for peer in case.peers
    if peer.name not in OPTIONS
]


@pytest.mark.parametrize(("case", "peer"), IN_PROCESS)
def test_every_peer_works_and_says_what_it_did(case, peer, tmp_path):
    work = next(one for one in find(case).peers if one.name == peer).build(Setting("cpu", 1, True, tmp_path))
    assert work.images > 0
    work.step()
    json.dumps(dict(work.facts))


def facts_of(name: str, folder: Path) -> dict[str, dict]:
    setting = Setting("cpu", 1, True, folder)
    return {peer.name: dict(peer.build(setting).facts) for peer in find(name).peers if peer.name not in OPTIONS}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        pytest.param(
            "glow",
            {"losses": [3.0, 4.0]},
            marks=pytest.mark.skipif(NO_NORMFLOWS, reason="normflows is not installed"),
        ),
        ("layer", {"losses": [1.0] * 5}),
        pytest.param("features", {"features": [0.5] * 4 * 2048}, marks=pytest.mark.slow),
        pytest.param(
            "sampling",
            {"finite": False},
            marks=pytest.mark.skipif(NO_NORMFLOWS, reason="normflows is not installed"),
        ),
    ],
)
def test_peers_agree_and_a_case_sees_when_they_do_not(name, broken, tmp_path):
    facts = facts_of(name, tmp_path)
    find(name).check(facts)
    with pytest.raises(ValueError):
        find(name).check({**facts, "vaeglow": {**facts["vaeglow"], **broken}})


@pytest.mark.slow
def test_processes_take_turns_and_each_has_its_own_memory(tmp_path):
    case = find("data")
    measured = measure(case, Setting("cpu", 1, True, tmp_path), rounds=3)
    assert list(measured) == ["step", "data"]
    for found in measured.values():
        assert len(found.seconds) == 3 and min(found.seconds) > 0
        assert found.memory >= found.memory_before > 10e6
    (share,) = case.rows(measured)
    assert share.median() > 0


def test_the_end_of_a_process_is_one_line(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("the device that is asked for is there")
    with pytest.raises(UserError, match=r"case data, step: ended with status 2: error: device cuda was asked for"):
        measure(find("data"), Setting("cuda", 1, True, tmp_path), rounds=1)


# ----------------------------------------------------------------------------------------- numbers and verdicts


def measured(*seconds: float, **facts: float) -> Measured:
    return Measured(images=4, seconds=seconds, memory=3 * 2**20, memory_before=2**20, facts=facts)


def test_ratios_are_taken_round_by_round():
    assert times_faster(measured(1.0, 2.0), measured(2.0, 6.0)) == [2.0, 3.0]
    with pytest.raises(ValueError):
        times_faster(measured(1.0), measured(2.0, 6.0))


def test_spread_has_the_median_and_the_quartiles():
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "low_quartile": 2.0, "high_quartile": 4.0}
    assert spread([7.0]) == dict.fromkeys(("median", "low_quartile", "high_quartile"), 7.0)


@pytest.mark.parametrize(
    ("values", "target", "at_least", "met"),
    [([1, 2, 9], 2, True, True), ([1, 1.9, 9], 2, True, False), ([0.01], 0.02, False, True), ([3], None, True, None)],
)
def test_the_median_decides(values, target, at_least, met):
    assert Row("x", values, target, at_least).met() is met


@pytest.mark.parametrize("other", [[1.0], [], [1.0, 2.1], [1.0, float("nan")], [1.0, float("inf")]])
def test_what_differs_is_not_close(other):
    require_close("x", [1.0, 2.0], [1.0, 2.00001], 1e-4)
    with pytest.raises(ValueError, match=r"^x: "):
        require_close("x", [1.0, 2.0], other, 1e-4)


@pytest.mark.parametrize("losses", [[1.0, 1.0], [1.0, 2.0], [1.0, float("nan")]])
def test_losses_that_do_not_fall_are_an_error(losses):
    require_falling({"one": {"losses": [2.0, 1.0]}})
    with pytest.raises(ValueError, match="two does not learn"):
        require_falling({"one": {"losses": [2.0, 1.0]}, "two": {"losses": losses}})


def test_table_4_is_glow_over_the_average_of_both_phases():
    found = table4.rows(
        {
            "glow": measured(8.0, flops=80, bytes=12),
            "vae": measured(1.0, flops=10, bytes=2),
            "vaeglow": measured(3.0, flops=30, bytes=4),
            "vaeglow_as_written": measured(7.0, flops=10, bytes=10),
        }
    )
    assert [row.median() for row in found] == [4, 4, 4, 2, 8, 2]
    assert "3.65" in found[0].note and found[0].met() is None


def test_the_tables_show_numbers_targets_and_verdicts():
    rows = [
        ("glow", Row("a / b", [2.5, 2.6, 2.7], 2.0)),
        ("data", Row("c / d", [0.3], 0.02, at_least=False)),
        ("table4", Row("e / f", [3.0], note="paper: 3.65")),
    ]
    lines = ratios_table(rows).splitlines()
    assert "2.6" in lines[2] and "2.55 to 2.65" in lines[2] and "at least 2" in lines[2] and "met" in lines[2]
    assert "at most 0.02" in lines[3] and "missed" in lines[3]
    assert "paper: 3.65" in lines[4] and "met" not in lines[4]
    case = Case("x", "X", (Peer("one", "One", lambda _: Work(print, 1)),), lambda _: None, lambda _: [])
    line = peers_table(case, {"one": measured(0.5, 0.25, 0.125)}).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["One", "4", "3 to 6", "3", "2"]


# ---------------------------------------------------------------------------------------------------- counts


def test_bytes_are_those_read_and_written_and_a_view_has_none():
    a, b = torch.zeros(10, 10), torch.zeros(10, 10)
    with ByteCounter() as counter:
        a + b
    assert counter.total == 3 * 400
    with ByteCounter() as counter:
        a.view(100)[:50].expand(3, 50)
        torch.empty(1000)
    assert counter.total == 0
    with ByteCounter() as counter:
        a.add_(torch.zeros(1, 10).expand(10, 10))  # written: the 40 bytes of zeros, then a; read: a, and the 40 bytes
    assert counter.total == 40 + (400 + 400 + 40)


def test_a_multiply_add_counts_as_two():
    network, x = nn.Linear(20, 30, bias=False), torch.zeros(5, 20)
    assert count(lambda: network(x))["flops"] == 2 * 5 * 20 * 30
    assert count(lambda: network(x).sum().backward())["flops"] == 2 * 2 * 5 * 20 * 30  # x needs no gradient


# ---------------------------------------------------------------------------------------------- command line


def test_an_unknown_case_is_named_with_those_there_are():
    with pytest.raises(UserError, match="unknown case 'glwo': there are glow, layer"):
        benchmark.main(["--only", "glwo"])


def test_a_case_whose_peer_is_not_installed_is_left_out_or_refused(capsys):
    case = replace(find("glow"), peers=(replace(find("glow").peers[0], module="no_such_module"),))
    assert benchmark.missing(case) == ["no_such_module"] and benchmark.missing(find("data")) == []
    assert benchmark.refuse(case, ["no_such_module"], asked=None) is False
    assert capsys.readouterr().err == "left out: case glow needs no_such_module: pip install -e '.[bench]'\n"
    with pytest.raises(UserError, match="case glow needs no_such_module"):
        benchmark.refuse(case, ["no_such_module"], asked=["glow"])


@pytest.mark.slow
def test_the_command_prints_the_ratios_last_and_writes_them(tmp_path):
    output = tmp_path / "benchmark.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "data", "table4", "--threads", "1"]
    done = call([*command, "--output", output])
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("--quick: tiny sizes, so these ratios mean nothing")
    written = json.loads(output.read_text())
    assert list(written["cases"]) == ["data", "table4"] and written["quick"] is True
    assert len(written["cases"]["table4"]["ratios"]) == 6
    assert set(written["cases"]["table4"]["peers"]) == set(table4.MODELS)


def test_help_needs_no_torch():
    code = "import sys; import benchmarks.__main__; sys.exit('torch' in sys.modules)"
    assert call([sys.executable, "-c", code]).returncode == 0
