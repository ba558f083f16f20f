"""Tiny data and tiny trained runs, made once a session and never changed by a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_tools import Run, prepare, resolved


@pytest.fixture(scope="session")
def blobs_dir(tmp_path_factory) -> Path:
    return prepare(tmp_path_factory.mktemp("data") / "blobs")


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory, blobs_dir) -> Run:
    return Run(tmp_path_factory.mktemp("vae"), resolved("vae"), blobs_dir).train()


@pytest.fixture(scope="session")
def vaeglow_run(tmp_path_factory, blobs_dir, vae_run) -> Run:
    return Run(tmp_path_factory.mktemp("vaeglow"), resolved("vaeglow"), blobs_dir, vae_run).train()


@pytest.fixture(scope="session")
def glow_run(tmp_path_factory, blobs_dir) -> Run:
    return Run(tmp_path_factory.mktemp("glow"), resolved("glow"), blobs_dir).train()


@pytest.fixture(scope="session", params=["vae", "vaeglow", "glow"])
def any_run(request) -> Run:
    return request.getfixturevalue(f"{request.param}_run")
