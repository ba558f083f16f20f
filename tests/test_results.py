"""Result files: read back as written, sealed, refused where they are something else; and where they come from."""

import errno
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vaeglow import results
from vaeglow.data.arrays import array_sha256, read_info
from vaeglow.errors import UserError
from vaeglow.files import read_csv, read_json, sha256_file, sha256_json, write_json
from vaeglow.paths import IDENTITY, RESULTS, identity, kind_of, result_path
from vaeglow.reporting import traced
from vaeglow.results import SEAL, Result, check_together, content_sha256, read_result, write_result
from vaeglow.verify import read_checked
from vaeglow.weights import load_model

RUN = {"preset": "demo", "dataset": "photos32", "model": "vae", "seed": 0}
MADE = {"commit": "c", "dirty": True, "started": "2000-01-01T00:00:00+00:00"}
KEYS = {"commit", "dirty", "source_sha256", "python", "versions", "platform", "device", "started", "finished"}
HASHES = {"config_sha256", "data_sha256", "weights_sha256"}
OF_NO_WEIGHTS = {"timing.json", "timings", "fid_reference", "blobs.json"}
CONTENT = {**RUN, "fid": 1.5, "counts": {"1": 2}, "name": "x"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/model").write_text("weights")
    return tmp_path


@pytest.mark.parametrize("name", ["a.json", "a.npz"])
def test_a_result_is_read_as_it_was_written(name, folder):
    arrays = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3), "more": np.ones(2)} if name == "a.npz" else None
    write_result(name, CONTENT, [folder / "results/model"], MADE, arrays)
    result = read_result(name, ("images",) if arrays else (), preset="demo", fid=1.5)
    assert result.content == read_checked(Path(name)) and result.content.items() >= CONTENT.items()
    assert result.value("inputs") == {"results/model": sha256_file("results/model")}
    assert result.commit == "c+dirty" and result.number("counts", "1") == 2
    assert result.value("provenance", "finished") > MADE["started"] and "finished" not in MADE
    assert identity(result.content) == RUN
    if arrays:
        assert list(result.arrays) == ["images"] and np.array_equal(result.arrays["images"], arrays["images"])


def test_a_seal_is_of_all_content_and_of_nothing_else():
    arrays = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    write_result("a.npz", CONTENT, [], MADE, arrays)
    whole = read_result("a.npz").content
    digest = whole["provenance"].pop(SEAL)
    read = json.loads(json.dumps(dict(reversed(whole.items())), indent=4))  # order and white space are no content
    assert content_sha256(read, arrays) == digest
    for changed in ({"fid": 1.25}, {"counts": {"1": 3}}, {"more": None}, {"provenance": {"commit": "d"}}):
        assert content_sha256({**whole, **changed}, arrays) != digest
    assert digest != content_sha256(whole, {"images": arrays["images"].T}) != content_sha256(whole, {}) != digest


@pytest.mark.parametrize(
    ("content", "expected", "says"),
    [
        (None, {}, "a.json does not exist: run the step that makes it first"),
        (b"{", {}, "a.json is not valid JSON"),
        (b"\xff\xfe{", {}, "a.json is not valid JSON"),
        (b"[1]", {}, "a.json is not a JSON object"),
        (b'{"seed": 1}', {"seed": 0}, "a.json: seed is 1, expected 0: run snakemake again"),
        (b"{}", {"seed": 0}, "a.json lacks 'seed'"),
    ],
)
def test_what_is_no_such_result_is_refused_in_one_line(content, expected, says):
    if content is not None:
        Path("a.json").write_bytes(content)
    with pytest.raises(UserError, match=says) as refused:
        read_result("a.json", **expected)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [None, True, "1", float("nan"), [1]])
def test_a_number_is_finite(value):
    with pytest.raises(UserError, match=r"a.json: fid is .*, not a finite number"):
        Result(Path("a.json"), {"fid": value}).number("fid")


def test_a_damaged_npz_is_one_line_wherever_the_damage_is():
    """Bits of every byte of the first array's own fields, and of some bytes of the rest: it is read, or a line."""
    arrays = {"images": np.arange(5000, dtype=np.uint8), "more": np.ones(2)}
    write_result("a.npz", CONTENT, [], MADE, arrays)
    whole = Path("a.npz").read_bytes()
    refusals = 0
    for at in [*range(200), *range(200, len(whole), 37)]:
        for bit in (1, 16, 128):
            damaged = bytearray(whole)
            damaged[at] ^= bit
            Path("a.npz").write_bytes(damaged)
            try:
                read_result("a.npz", None)
            except UserError as error:
                refusals += 1
                assert "a.npz is damaged or not a result" in str(error)
    assert refusals > 300
    Path("a.npz").write_bytes(whole)
    assert read_result("a.npz", None).content["fid"] == CONTENT["fid"]


def test_a_place_that_cannot_be_written_is_one_line():
    Path("file").touch()
    for path, says in (("file/a.json", "a folder in this path is a file"), ("x" * 300, "the name is too long")):
        with pytest.raises(UserError, match=f"^cannot write .*: {says}: [^\n]*$"):
            write_json(path, {})


def made(name: str, **content: object) -> Result:
    return Result(Path(name), {**RUN, "data_sha256": "d", "weights_sha256": "w", "inputs": {}, **content})


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"weights_sha256": "x"}, "weights_sha256"),
        ({"model": "glow", "data_sha256": "x"}, "data_sha256"),
        ({"model": "glow", "inputs": {"resources/weights/i.safetensors": "x"}}, "resources/weights/i.safetensors"),
    ],
)
def test_results_that_do_not_belong_together(other, says):
    inputs = {"resources/weights/i.safetensors": "i"}
    with pytest.raises(UserError, match=f"^b.json and a.json differ in .*{says}"):
        check_together([made("a.json", inputs=inputs), made("b.json", **other)])
    check_together([made("a.json"), made("b.json", dataset="other", data_sha256="x", weights_sha256="x")])


def test_a_result_belongs_to_the_version_it_was_made_from_of_another():
    write_result("a.json", CONTENT, [], MADE)
    write_result("b.json", CONTENT, ["a.json"], MADE)
    check_together(map(read_result, ("a.json", "b.json")))
    write_result("a.json", CONTENT | {"fid": 2.0}, [], MADE)
    with pytest.raises(UserError, match=r"differ in a\.json"):
        check_together(map(read_result, ("a.json", "b.json")))


def test_a_path_says_what_it_is_of():
    names = {**RUN, "temperature": 0.5, "protocol": "test-10k", "space": "prior", "started": "2026"}
    for what in RESULTS:
        found, said = kind_of(result_path("", what, **names).as_posix())
        assert found == what and said == {key: str(names[key]) for key in said}
    assert kind_of("demo/photos32/vae/seedx/latents.json") == kind_of("notes.json") == ("", {})
    assert result_path("results", "samples", **RUN, temperature=0) == Path(
        "results/demo/photos32/vae/seed0/samples/T0.0.npz"
    )


def test_json_comes_back(tmp_path):
    value = {"a": [1, 2.5, None, "ä"], "b": {"c": True}}
    write_json(tmp_path / "x" / "a.json", value)
    assert read_json(tmp_path / "x" / "a.json") == value
    with pytest.raises(ValueError):
        write_json(tmp_path / "x" / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "x" / "a.json") == value
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.json"]


def test_what_cannot_be_opened_is_refused_in_one_line(folder, monkeypatch):
    Path("a.json").touch()
    for path in (folder, folder / "a.json/b.json"):
        with pytest.raises(UserError, match=f"^cannot read {path}"):
            read_json(path)

    def read_text(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(UserError, match=r"^cannot read a.json \(Permission denied\): check[^\n]*$"):
        read_json("a.json")


def test_every_file_says_where_it_comes_from(results_tree):
    kinds = ("*.json", "*.npz", "*.safetensors")
    files = [path for kind in kinds for path in sorted((results_tree / "results").rglob(kind))]
    files = [path for path in files if path.name != "config.json" and not {"state", "specs"} & {*path.parts}]
    assert len(files) > 30
    for path in files:
        about = read_checked(path)
        weights = path.suffix == ".safetensors"
        made = about["provenance"]
        assert made.keys() >= KEYS, path
        assert made["started"] <= made["finished"] and made["versions"].keys() >= {"torch", "numpy"}, path
        of_run = {*IDENTITY} | (HASHES - {"config_sha256"} if weights else HASHES)
        assert about.keys() >= ({"data_sha256", "dataset"} if {path.name, *path.parts} & OF_NO_WEIGHTS else of_run), (
            path
        )
        assert weights or SEAL in made, path


def test_a_row_of_table_2_leads_to_its_config_data_weights_and_commit(results_tree):
    """Down from a number in the published CSV, file by file, every hash computed anew."""
    rows = read_csv(results_tree / "results/table2.full.csv")
    assert tuple(rows[0])[-len(traced.COLUMNS) :] == traced.COLUMNS
    published = [row for row in rows if row["source"] == "published"]
    assert published and not any(row[key] for row in published for key in traced.COLUMNS if key != traced.SEAL)
    row = next(row for row in rows if row["run"] == "vaeglow")
    evidence = traced.evidence_of(row)
    assert all(sha256_file(results_tree / path) == digest for path, digest in evidence.items())
    names = [Path(path).name for path in evidence]
    assert names == ["training.json", "likelihood.json", "T1.0.json"] * 2  # two seeds
    metrics = [read_json(results_tree / path) for path in evidence if "/metrics/" in path]
    assert row["fid"] == f"{np.mean([one['fid'] for one in metrics]):.2f}"
    assert row["seeds"].split() == [str(one["seed"]) for one in metrics]
    for key in HASHES - {"data_sha256"}:
        assert row[key].split("; ") == [one[key] for one in metrics]
    for path, one in zip([path for path in evidence if "/metrics/" in path], metrics, strict=True):
        run = (results_tree / path).parents[2]
        model, about = load_model(run / "model.safetensors", "cpu")
        assert one["weights_sha256"] == about["weights_sha256"] and model.shape == (3, 8, 8)
        assert one["config_sha256"] == sha256_json(read_json(run / "config.json")) == sha256_json(about["config"])
        info = read_info(results_tree / "resources/data/blobs")
        assert row["data_sha256"] == one["data_sha256"] == sha256_json(info["sha256"])
        test = np.load(results_tree / "resources/data/blobs/test.npy")
        assert info["sha256"]["test"] == array_sha256(test) and len(test) == int(row["fid_reference_images"])
        for name in ("model.safetensors", "samples/T1.0.npz"):
            assert one["inputs"][(run / name).relative_to(results_tree).as_posix()] == sha256_file(run / name)
        assert one["samples_provenance"]["commit"] == one["provenance"]["commit"]
    made = results.collect()
    assert row["commit"] == made["commit"] + ("+dirty" if made["dirty"] else "")
    (claim,) = read_csv(results_tree / "results/claims.full.csv")
    assert row["source_sha256"] == claim["source_sha256"] == made["source_sha256"] and claim["commit"] == row["commit"]
    assert "2000" < row["started"] <= row["finished"]


def test_provenance_is_json_and_survives_outside_git(tmp_path, monkeypatch):
    about = results.collect("cpu")
    assert json.loads(json.dumps(about)) == about
    assert results.git_state(tmp_path) == ("unknown", None)
    monkeypatch.setenv("PATH", "")
    assert results.git_state() == ("unknown", None)


def test_provenance_reads_this_checkout_and_not_one_around_it(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    (tmp_path / "vaeglow").mkdir()
    (tmp_path / "vaeglow/a.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit, dirty = results.git_state(tmp_path)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "vaeglow/b.py").write_text("b = 1\n")
    assert results.git_state(tmp_path) == (commit, True)
    assert results.git_state(tmp_path / "vaeglow") == ("unknown", None)
    monkeypatch.setattr(results, "PACKAGE", tmp_path)
    digests = {results.source_sha256.__wrapped__()}
    for name in ("b.py", "page.md.j2", "notes.txt"):
        (tmp_path / "vaeglow" / name).write_text("c = 1\n")
        digests.add(results.source_sha256.__wrapped__())
    assert len(digests) == 3  # of Python files and templates
