from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from run_tools import Run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread inside torch: small tensors gain nothing from more, and tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["vae", "vaeglow"])
def latent_run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(f"{request.param}_run")
