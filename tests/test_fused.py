"""The fused coupling net against the eager one, in Triton's interpreter: no GPU is needed, only Triton itself."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models_tools import one_thread, randomise, seeded  # noqa: F401

from vaeglow.models.coupling_net import CouplingNet
from vaeglow.models.fused import WARPS, fits, fused_coupling_net, launch, padded

HERE = Path(__file__).parent
NETS = {  # name -> (inputs, width, outputs, images, side)
    "squeezed": (6, 40, 6, 2, 5),
    "one channel": (1, 16, 2, 3, 4),
    "rows left over": (2, 64, 4, 1, 9),
    "as wide as it may be": (7, 256, 7, 1, 3),
}
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def compare(name: str) -> None:
    """Outputs and all gradients of one net, both ways. Run where TRITON_INTERPRET is set before Triton is imported."""
    inputs, width, outputs, images, side = NETS[name]
    torch.manual_seed(0)
    net = CouplingNet(inputs, width, outputs)
    randomise(net, scale=0.2)
    x = torch.randn(images, inputs, side, side, generator=seeded(1))
    found = []
    for run in (net, lambda value: fused_coupling_net(net, value)):
        leaf = x.clone().requires_grad_()
        net.zero_grad()
        y = run(leaf)
        y.square().sum().backward()
        found.append([y.detach(), leaf.grad, *(parameter.grad.clone() for parameter in net.parameters())])
    assert len(found[0]) == len(found[1]) > 8
    for eager, fused in zip(*found, strict=True):
        torch.testing.assert_close(fused, eager, rtol=1e-4, atol=1e-4 * eager.abs().max().item())
        assert eager.abs().max() > 0


@needs_triton
@pytest.mark.parametrize("name", NETS)
def test_fused_equals_eager(name):
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import test_fused; test_fused.compare({name!r})"
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=HERE.parent
    )
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.parametrize(("inputs", "width", "outputs"), [(6, 256, 6), (1, 96, 2)])  # vaeglow, vaeglow_as_written
def test_the_kernels_compile_for_an_h100(inputs, width, outputs):
    """Ahead of time, without a card: they are legal, use its matrix instructions, and their shared memory fits."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from vaeglow.models import fused_kernels

    sizes = [padded(torch.empty(*shape)) for shape in ((9 * inputs, width), (width, width), (width, 9 * outputs))]
    constants = launch(torch.empty(64, sizes[0].shape[0]), sizes[0], sizes[2])[1]
    for kernel in (fused_kernels.mlp_forward, fused_kernels.mlp_backward):
        types = dict.fromkeys(kernel.arg_names, "*bf16") | dict.fromkeys(("b1", "b2", "out"), "*fp32")
        types |= {"rows": "i32"} | dict.fromkeys(constants, "constexpr")
        signature = {name: types[name] for name in kernel.arg_names}
        source = ASTSource(kernel, signature, constexprs=constants)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": WARPS})
        assert "wgmma.mma_async" in made.asm["ptx"]
        assert made.metadata.shared <= 227 * 1024, (kernel.__name__, made.metadata.shared)


def test_which_nets_fit():
    nets = {"vaeglow": (6, 256, 6), "vaeglow_as_written": (1, 96, 2), "glow": (6, 512, 12), "wide": (2, 257, 2)}
    assert [name for name, sizes in nets.items() if fits(CouplingNet(*sizes))] == ["vaeglow", "vaeglow_as_written"]


def test_padding_is_to_powers_of_two_that_the_hardware_multiplies():
    assert padded(torch.ones(9, 96)).shape == (16, 128)
    assert padded(torch.ones(5, 54), rows=False).shape == (5, 64)
    assert padded(torch.ones(64, 256)).sum() == 64 * 256


def test_without_triton_the_message_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "vaeglow.models.fused_kernels", raising=False)
    with pytest.raises(ImportError):
        fused_coupling_net(CouplingNet(2, 16, 2), torch.zeros(1, 2, 4, 4))
