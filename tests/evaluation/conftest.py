import pytest
from models_tools import one_thread  # noqa: F401
from run_tools import Run


@pytest.fixture(params=["vae", "vaeglow"])
def latent_run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(f"{request.param}_run")
