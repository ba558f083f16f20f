"""Files and configs of strangers: no code of theirs runs, nothing is read or written where it was not said."""

import ast
import json
import math
import os
import pickle
import re
import shlex
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fid_tools import write_pngs
from refusals import user_error
from run_tools import ROOT, blobs, initialised, resolved, shipped_config
from safetensors.torch import save
from test_workflow import workflow
from waiting import text_of

from vaeglow.config import merge
from vaeglow.config.check import check_config, outside
from vaeglow.data.arrays import open_split, read_info
from vaeglow.evaluation.inception import load_weights, obtain_weights
from vaeglow.files import sha256_json
from vaeglow.results import read_result
from vaeglow.training.checkpoint import read_snapshots
from vaeglow.weights import KEY, SEAL, load_model, tensors_sha256

# ------------------------------------------------------------------------------------------- the source

SOURCES = sorted((ROOT / "vaeglow").rglob("*.py"))
# Each reads a file only after its hash was checked, and says so where it is.
UNPICKLES = {"vaeglow/data/cifar10.py"}
TORCHSCRIPT = {"vaeglow/evaluation/inception.py"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "imp"}
FORBIDDEN_CALLS = re.compile(
    r"""
    eval|exec|compile|os\.system|os\.popen|subprocess\.getoutput|subprocess\.getstatusoutput|pd\.read_pickle|yaml\.load
    |torch\.save|torch\.hub\.load|torch\.package\.PackageImporter|tarfile\.(?!open$).*|.*(\.extractall|\.extract|unpack_archive)
""",
    re.VERBOSE | re.DOTALL,
)
FLAGS = {
    "torch.load": {"weights_only": "True"},
    "np.load": {"allow_pickle": "False"},
    "np.save": {"allow_pickle": "False"},
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_file_unpickles_or_calls_a_shell(path):
    name = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert name in UNPICKLES or not {part.split(".")[0] for part in names} & FORBIDDEN_MODULES
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            flags = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert not FORBIDDEN_CALLS.fullmatch(called) and flags.get("shell", "False") == "False"
            assert called != "torch.jit.load" or name in TORCHSCRIPT
            assert flags.items() >= FLAGS.get(called, {}).items()


def test_whatever_a_config_says_is_quoted_in_a_shell_command():
    """Wildcards and paths made of them hold names only, which the schema keeps to letters, digits, `_` and `-`."""
    text = "".join(map(text_of, ROOT.glob("workflow/**/*.smk")))
    commands = re.findall(r'shell:\n\s+("""|")(.*?)\1', text, re.DOTALL)
    assert len(commands) == text.count("shell:") > 5
    for field in re.findall(r"\{([^{}]+)\}", "".join(command for _, command in commands)):
        known = field in ("params.data", "params.state", "params.step", "resources.options")  # of names
        of_names = re.split(r"[.\[:]", field)[0] in ("wildcards", "input", "output", "log", "threads")
        assert known or of_names or re.fullmatch(r"(params|resources)\.\w+:q", field), field


# --------------------------------------------------------------------------------------- crafted files


class Payload:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {shlex.quote(str(self.mark))}",)


@pytest.fixture
def mark(tmp_path) -> Path:
    """A file that is there once code of a crafted file has run."""
    mark = tmp_path / "run"
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # it works
    mark.unlink()
    return mark


def read_drawn(path: Path) -> str:
    return read_result(path, ("images",)).value("dataset")


def read_model(path: Path) -> object:
    return load_model(path, "cpu")


@pytest.mark.parametrize("read", [read_model, read_snapshots, load_weights, read_drawn])
def test_a_pickle_in_place_of_a_result(read, mark, tmp_path):
    path = tmp_path / "file.npz"
    torch.save({"weight": torch.ones(2), "more": Payload(mark)}, path)
    crafted = path.read_bytes()
    for content in (crafted, pickle.dumps(Payload(mark))):
        path.write_bytes(content)
        with user_error(str(path)):
            read(path)
    assert not mark.exists()


def test_a_pickle_in_place_of_the_inception_weights(mark, tmp_path):
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save({"more": Payload(mark)}, path)
    settings = {"local": str(path), "wheel": None, "url": None}
    address = {"local": None, "url": {"address": path.as_uri(), "sha256": "0" * 64}}
    for asked, says in ((settings, "which is not the one in"), (settings | address, "instead of")):
        with user_error(says):
            obtain_weights(asked)
    assert not mark.exists()


def test_arrays_of_objects(mark, tmp_path, blobs_dir):
    path = tmp_path / "file.npz"
    objects = np.array([Payload(mark)] * 3, dtype=object)
    whole = {"images": np.zeros(3), "metadata": np.array("{}")}
    for name in whole:
        np.savez(path, **whole | {name: objects}, allow_pickle=True)
        with user_error(str(path)):
            read_drawn(path)
    shutil.copy(blobs_dir / "dataset.json", tmp_path)
    np.save(tmp_path / "train.npy", objects, allow_pickle=True)
    with user_error("is not a whole array file"):
        open_split(tmp_path, "train")
    assert not mark.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"name": ' * 50_000, "\x00", "9" * 10_000, '"\\ud800"', "NaN"])
def test_a_crafted_dataset_json(text, tmp_path):
    (tmp_path / "dataset.json").write_text(text)
    with user_error("dataset.json (is not valid JSON|lacks name, )"):
        read_info(tmp_path)


WHOLE = b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'


HEADERS = [
    WHOLE.replace(b"[0, 8]", b"[0, 4611686018427387904]"),
    WHOLE.replace(b"[0, 8]", b"[-8, 0]"),
    WHOLE.replace(b"[2]", b"[1099511627776, 1099511627776]"),
    WHOLE.replace(b"F32", b"PICKLE"),
    WHOLE[:-1] + b"," + WHOLE[1:].replace(b"a", b"b", 1),  # the same bytes twice
    WHOLE[:-1] + b', "__metadata__": {"vaeglow": 7}}',
    b"[" * 100_000,
    b"\xff\xfe{}",
]


# Each of these; a whole one that says another length of itself, or with bytes that belong to nothing.
LENGTHS = [*((header, len(header), 8) for header in HEADERS), (WHOLE, 2**63, 8), (WHOLE, len(WHOLE), 16)]


@pytest.mark.parametrize(("header", "length", "size"), LENGTHS, ids=range(10))
def test_safetensors_with_a_lying_header(header, length, size, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + header + bytes(size))
    for read in (read_model, read_snapshots):
        with user_error(str(path)):
            read(path)


def write_sealed(path: Path, model: str, about: str | dict) -> None:
    """A model's file whose description bears a seal as ours do: anybody can compute one."""
    state = initialised(model).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    if isinstance(about, dict):
        about = {"weights_sha256": tensors_sha256(tensors), **about}
        about = json.dumps(about | {SEAL: sha256_json(about)})
    path.write_bytes(save(tensors, {KEY: about}))


LIES = yaml.safe_load("""
- {weights_sha256: [x]}
- {config: rm -rf}
- {config: {}}
- {config: {kind: [vae], seed: x}}
- {config: {kind: __import__('os'), seed: 0}}
""")
CHANGES = yaml.safe_load("""
- {kind: glow}
- {network: {latent_dim: -1}}
- {network: {base_dim: 1.5}}
- {network: {num_scale: 1000000000}}
- {prior: {layers: 1000000000000}}
- {data: {size: 1000000000}}
""")
LIES += [{"config": merge(resolved("vae"), change)} for change in CHANGES]


@pytest.mark.parametrize("about", ["[" * 100_000, "7", "null", "{", *LIES], ids=range(15))
def test_a_model_whose_description_lies(about, tmp_path):
    path = tmp_path / "model.safetensors"
    write_sealed(path, "vae", about)
    with user_error(str(path)):
        read_model(path)


SIZES = [
    ("vae", "network", "fc_dim"),
    ("vae", "prior", "width"),
    ("vae_two_stage", "second_stage", "width"),
    ("vaeglow", "layer", "width"),
]


@pytest.mark.parametrize("value", [2**40, math.nan])
@pytest.mark.parametrize("model, part, size", SIZES)
def test_a_size_beyond_a_models_file_is_refused_before_the_model_is_built(model, part, size, value, tmp_path):
    path = tmp_path / "model.safetensors"
    config = merge(resolved(model), {part: {size: value}})
    write_sealed(path, model, {"config": config})
    with user_error(f"a size of {value} in a model of"):
        read_model(path)


# --------------------------------------------------------------------------------------------- configs

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
HOSTILE = ["..", "../x", "/etc", "a b", "a\n", "\na", "$(touch pwned)", "`id`", "a;b", "a'b", 'a"b', "-x", "", "A", "é"]


@pytest.mark.parametrize(
    "section", ["datasets", "models", "protocols", "presets", "roles", "tables", "figures", "claims"]
)
def test_a_name_that_is_more_than_a_name_is_refused(section):
    for name in HOSTILE if section == "datasets" else ("../x", "$(touch pwned)"):
        config = shipped_config()
        entry, *_ = config[section].values()
        config[section][name] = {"presets": {}, "roles": "cifar10"}.get(section, entry)
        with user_error(section):
            check_config(config, SCHEMA, ROOT / "resources/published.csv")


EVIL = 'it\'s "a" $(touch pwned) `touch pwned` ; touch pwned | x && {output} {{x}} %s \\ *\n;touch pwned'


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A project in a folder of an evil name, with images in another and evil texts in every place that takes one."""
    folder = tmp_path / "pro'ject $(touch pwned)"
    images = write_pngs(folder / EVIL.replace("/", ""), blobs(20, 0, 8))
    dataset = {"kind": "folder", "root": images.name, "size": 8, "test_fraction": 0.2}
    entry = {"title": EVIL, "caption": EVIL}
    overlay = {
        "datasets": {"mine": dataset, **{name: {"local": EVIL} for name in ("cifar10", "fashion_mnist", "celeba64")}},
        "evaluation": {"inception": {"local": EVIL}},
        "tables": {"table2": {**entry, "rows": [{"model": "vae", "temperature": 0.0, "label": EVIL}]}},
        "figures": {"samples": entry},
        "claims": {"quality_main": {"statement": EVIL, "reason": EVIL}},
        "only": ["table2", "samples", "figure1", "quality_main"],
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    return folder


def test_evil_texts_stay_words_of_a_command(hostile):
    """Some of each kind of rule, planned: what the shell would make of each command."""
    data = [f"resources/data/{name}/dataset.json" for name in ("mine", "cifar10")]
    output = workflow("-n", "-p", "all", "archive", *data, "--configfile", "overlay.yaml", cwd=hostile)
    commands = re.findall(r"(?:python -m vaeglow\.|printf|cp) ?.*?> ?\S+ 2>\S+", output, re.DOTALL)
    assert len(commands) > 20
    words: list[str] = []
    for command in commands:
        tokens = shlex.shlex(command, posix=True, punctuation_chars=True)
        tokens.whitespace_split = True
        tokens.commenters = ""
        words += tokens
    assert not {";", "|", "&&", "&", "$(", "`"} & {*words}
    loose = [word for word in words if "touch" in word and not word.startswith("{")]
    assert loose == [] and any(word.startswith("{") and "touch pwned" in word for word in words)
    for path in ", ".join(re.findall("^    output: (.*)$", output, re.MULTILINE)).split(", "):
        assert path.startswith(("results/", "resources/")) and ".." not in path
    assert "note: datasets.cifar10.local" not in output  # it lies inside
    assert not list(hostile.parent.rglob("pwned"))


# ---------------------------------------------------------------------------- outside the project's folder


PLACES = yaml.safe_load("""
datasets:
  above: {root: ../images}
  absolute: {root: /etc}
  home: {root: ~/images}
  linked: {root: link/images}
  inside: {root: images}
  none: {local: null}
evaluation: {inception: {local: w.pth, url: {address: "file:///etc/passwd"}}}
""")


def test_places_outside_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("home/images", "images", "a\nb"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home/link").symlink_to(tmp_path)
    lines = outside(PLACES, tmp_path / "home")
    outer = [f"datasets.{name}.root" for name in ("above", "absolute", "home", "linked")]
    assert [line.split()[1] for line in lines] == ["evaluation.inception.url.address", *outer]
    (line,) = outside({"evaluation": {}, "datasets": {"x": {"root": "../a\nb"}}}, tmp_path / "home")
    assert "\n" not in line


def test_sources_outside_are_said(tmp_path):
    """Files among a dataset's sources that are there; not addresses, and nothing where `local` stands in for them."""
    home = tmp_path / "home"
    other = tmp_path / "an other"
    (home / "mine").mkdir(parents=True)
    other.mkdir()
    sources = ["mine", str(other), other.as_uri(), str(tmp_path / "absent"), "https://example.org/a.zip"]
    faces = {"local": None, "sources": sources}
    expected = f"note: datasets.faces.sources is outside this folder: {str(other)!r} is read"
    assert outside({"evaluation": {}, "datasets": {"faces": faces}}, home) == [expected] * 2
    assert outside({"evaluation": {}, "datasets": {"faces": faces | {"local": "mine"}}}, home) == []
