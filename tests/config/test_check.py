"""Whatever is wrong with a config is one line that names the key; the schema is whole, and config/README.md says it."""

import re
from collections.abc import Iterator
from functools import reduce

import pytest
import yaml
from jsonschema import Draft202012Validator
from refusals import user_error
from run_tools import checked, shipped_config
from waiting import ROOT, text_of

from tools import config_keys
from vaeglow.config import merge, plan
from vaeglow.config.check import check_config
from vaeglow.config.registry import kinds_of
from vaeglow.config.schema import DECLARED, complete, declared, read_schema

SLIPS = r"""
{seeds: [1], tables: {table1: {seeds: [0]}}}
=> tables.table1: seeds: the config has 1 only
{trainin: {}}
=> unknown key 'trainin' \(did you mean 'training'\?\)
{training: {learning_rate: 1e-4}}
=> 'training\.learning_rate' is '1e-4' \(str\).* 1\.0e-4
{training: {epochs: 0}}
=> training\.epochs.* less than the minimum
{overrides: {training: {devices: 3}}}
=> training\.devices is 3, which does not divide .*batch_size, \d+
{overrides: {models: {vea: {network: {base_dim: 8}}}}}
=> overrides\.models': .*did you mean 'vae'
{presets: {demo: {models: {vae: {network: {bas_dim: 8}}}}}}
=> bas_dim.*did you mean 'base_dim'
{datasets: {mine: {kind: foldr, root: x, size: 32}}}
=> datasets\.mine\.kind.*'foldr' is not one of
{datasets: {mine: {kind: celeba, size: 8, source: [x]}}}
=> datasets\.mine\.source' \(did you mean 'sources'
{datasets: {photos32: {pictures: [chelsey]}}}
=> did you mean 'chelsea'
{datasets: {photos32: {expected_sha256: {tests: x}}}}
=> did you mean 'test'
{datasets: {mine: {kind: folder, size: 32}}}
=> 'datasets\.mine' lacks the key 'root'
{tables: {differences: {rows: [{model: vaeglow, temperature: 0.5, minus: {model: glow, temperature: 1}, seeds: [0]}]}}}
=> unknown key 'tables\.differences\.rows\.0\.seeds
{datasets: {tables: {kind: folder, root: x, size: 32}}}
=> 'datasets' cannot hold 'tables': results
{models: {a: {network: {depth: 3}}}}
=> 'models\.a' lacks the key 'kind'
{models: {a: {like: b}, b: {like: c}, c: {like: a}}}
=> models.a: 'like' forms a cycle
{models: {vaeglow: {like: vaeglo}}}
=> unknown model 'vaeglo' \(did you mean 'vaeglow'\?\)
{models: {vaeglow: {base: vea}}}
=> did you mean 'vae'
{claims: {quality_main: {registered: primary}}}
=> claims\.quality_main: a registered claim lists its 'seeds'
{claims: {training_speed: {registered: primary, seeds: [0]}}}
=> claims\.training_speed: a claim of kind speed has no seeds: it cannot be registered
{claims: {model_size: {networks: papr}}}
=> claims\.model_size: unknown preset 'papr' \(did you mean 'paper'\?\)
{claims: {model_size: {needs: papr}}}
=> claims\.model_size: unknown preset 'papr' \(did you mean 'paper'\?\)
{tables: {table4: {presets: [demo, papr]}}}
=> tables\.table4: unknown preset 'papr' \(did you mean 'paper'\?\)
{tables: {table2: {protocol: test-10k-204}}}
=> tables\.table2: .*did you mean 'test-10k-2048'
{tables: {table2: {rows: [{model: glo, temperature: 1.0}]}}}
=> tables\.table2: .*did you mean 'glow'
{tables: {differences: {rows: [{model: vaeglow, temperature: 0.5, minus: {model: glwo, temperature: 1}}]}}}
=> unknown model 'glwo' \(did you mean 'glow'
{tables: {differences: {rows: [{model: vaeglow, temperature: 0.5, minus: {model: glow}}]}}}
=> rows\.0\.minus.* lacks the key 'temperature'
{tables: {differences: {rows: [{model: vaeglow, temperature: 0.5, minus: {model: glow, temperature: 1}},
 {model: vaeglow, temperature: 0.5, minus: {model: glow, temperature: 1}}]}}}
=> minus: .*glow.* is listed twice
{tables: {differences: {rows: [{model: vaeglow, temperature: 0.5}]}}}
=> tables\.differences\.rows\.0' lacks the key 'minus'
{tables: {table2: {rows: [{model: vae, temperature: 0}, {model: vae, temperature: 0.0}]}}}
=> 'tables\.table2\.rows': model: vae, temperature: 0.* is listed twice
{overrides: {figures: {samples: {kind: sample_sheet}}}}
=> 'overrides\.figures\.samples' cannot hold 'kind'
{evaluation: {inception: {wheel: {requirement: "--index-url==1"}}}}
=> inception\.wheel\.requirement
{models: {g: {like: glow, network: {base_dim: 8}}}}
=> a glow on dataset .*unknown key 'models\.g\.network\.base_dim'; legal here: levels, depth, width, coupling
{models: {g: {like: vaeglow, base: glow}}}
=> models.g: base 'glow' is a glow, not a vae
{datasets: {photos64: {models: {glow: {network: {fc_dim: 2}}}}}}
=> a glow on dataset photos64: .*glow.*fc_dim
{overrides: {models: {pixelcnn: {network: {coupling: affine}}}}}
=> a pixelcnn on dataset .*unknown key 'models\.pixelcnn\.network\.coupling'; legal here: depth, width, kernel
{tables: {table2: {rows: [{model: pixeliqn, temperature: 0.5}]}}}
=> tables\.table2: model pixeliqn is a pixeliqn, without a temperature: write 1\.0, not 0\.5
{claims: {likelihood_main: {worse: pixeliqn}}}
=> claims\.likelihood_main: model pixeliqn is a pixeliqn, without a likelihood: leave it out
{tables: {likelihood: {rows: [{model: pixeliqn}]}}}
=> tables\.likelihood: model pixeliqn is a pixeliqn, without a likelihood: leave it out
{models: {v: {kind: vae, network: {architecture: resnet, num_scale: 3, base_dim: 8, fc_dim: 8, latent_dim: 8,
 decoder_noise: diagonal, initial_noise: 1.0, batch_norm_momentum: 0.1},
 prior: {kind: flow}}}}
=> 'models.v.prior' lacks the key 'layers'
{models: {v: {kind: vae, network: {architecture: resnet, num_scale: 3, base_dim: 8, fc_dim: 8, latent_dim: 8,
 decoder_noise: diagonal, initial_noise: 1.0, batch_norm_momentum: 0.1},
 prior: {kind: standard}}}, presets: {short: {models: {v: {prior: {kind: flow}}}}}}
=> preset short: a vae on dataset .*: config: 'models.v.prior' lacks the key 'layers'
{tables: {table2: {published: tabel2}}}
=> tables\.table2\.published': 'tabel2' .*did you mean 'table2'
{roles: {main: cifar}}
=> unknown dataset 'cifar' \(did you mean 'cifar10'
{roles: {cifar10: photos32}}
=> a dataset has that name
{evaluation: {protocol: test-10k}}
=> unknown protocol 'test-10k' \(did you mean 'test-10k-2048'
{figures: {figure4: {rows: [{model: vae}]}}}
=> model vae is a vae: only a vae_glow has layer images
{tables: {linear_reference: {reference_model: glow}}}
=> only a vae has linear reference
{claims: {temperature_best: {others: [0.5, 1.0]}}}
=> temperature_best: others contains .* 0\.5 itself
{models: {vae: {color: blue}}}
=> models\.vae\.color.*'blue' does not match
{overrides: {models: {vae: {label: x}}}}
=> 'overrides\.models\.vae\.label' is 'x' \(str\), not of type object
{protocols: {train-50k-2048: {apart: 1.0}}}
=> 'protocols\.train-50k-2048\.split': 'test' was expected
{training: {learning_rate: .nan}}
=> 'training\.learning_rate' is nan \(float\), not of type number
{training: {epochs: 16.0}}
=> 'training\.epochs' is 16\.0 \(float\), not of type integer
{training: {schedule: lineer}}
=> training\.schedule': 'lineer' is not one of
"""
LEGAL = """
{datasets: {mine: {kind: folder, root: x, size: 8, channels: 1, levels: 16, on_broken: skip}}}
{models: {my-vae_2: {like: vae, prior: {kind: standard}}, layered: {like: vaeglow, base: my-vae_2}}}
{models: {v: {kind: vae, network: {architecture: resnet, num_scale: 3, base_dim: 8, fc_dim: 8, latent_dim: 8,
 decoder_noise: diagonal, initial_noise: 1.0, batch_norm_momentum: 0.1}, prior: {kind: standard}}}}
{protocols: {train-60-64: {split: train, images: 60, features: 64}}, evaluation: {protocol: train-60-64}}
{presets: {mine: {seeds: [4], datasets: {photos32: {train_subset: 10}}}}, preset: mine}
{overrides: {figures: {samples: {columns: 3, rows: [{data: val, label: Held out}]}}}}
{overrides: {evaluation: {inception: {local: w.pth, wheel: null}}, tables: {table2: {published: null}}}}
"""


@pytest.mark.parametrize(("changes", "says"), re.findall(r"(\{.*?)\n=> ([^\n]+)", SLIPS, re.DOTALL))
def test_a_slip_in_config_is_one_line_that_names_the_key(changes, says):
    with user_error(rf"^(?=.{{,399}}$).*{says}"):
        checked(changes)


@pytest.mark.parametrize("changes", re.split(r"\n(?=\{)", LEGAL.strip()))
def test_legal_additions_pass(changes):
    assert set(checked(changes)) >= set(shipped_config()["presets"])


SCHEMA_FILE = ROOT / "workflow/schemas/config.schema.yaml"
SCHEMA = read_schema(SCHEMA_FILE)
README = text_of("config/README.md")


@pytest.mark.parametrize("content", [b"row,fid\nGlow,46.9\n", b"table\nGl\xf6w"])
def test_published_numbers_that_a_spreadsheet_changed_are_one_line(content, tmp_path):
    path = tmp_path / "published.csv"
    path.write_bytes(content)
    with user_error(r"published\.csv is not a UTF-8 CSV with a column 'table'"):
        check_config(shipped_config(), SCHEMA_FILE, path)


def inside(value: object) -> Iterator[dict]:
    """Every mapping in a schema."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


def test_it_is_a_schema_and_every_object_of_it_is_closed():
    whole = complete(SCHEMA, shipped_config(), ["table1"])
    Draft202012Validator.check_schema(whole)
    for found in inside(whole):
        keys = found.get("properties", {})
        by_kind = "enum" in keys.get("kind", {}) or "like" in keys
        if keys and found.get("type") == "object" and not by_kind:
            assert {"additionalProperties", "propertyNames"} & {*found}, found
        if "$ref" in found:
            assert found["$ref"].removeprefix("#/$defs/") in whole["$defs"], found["$ref"]


@pytest.mark.parametrize("section", DECLARED)
def test_every_key_of_every_kind_says_what_it_means(section):
    common, kinds_keys = declared(SCHEMA, section)
    assert kinds_keys.keys() == kinds_of(section).keys()
    for kind, keys in kinds_keys.items():
        assert kinds_of(section)[kind].__doc__, kind
        own = {key: inner for key, inner in keys.items() if key not in common}
        assert {key.split(".")[0] for key, text in config_keys.described(SCHEMA, own) if text} == set(own)


@pytest.mark.parametrize("overlay", sorted((ROOT / "study").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_studys_overlay_is_legal_and_its_images_suffice(overlay):
    beside = {"budget": ["registered"], "finished": ["registered", "budget"]}.get(overlay.stem, [])
    overlays = [yaml.safe_load(text_of(f"study/{name}.yaml")) for name in [*beside, overlay.stem]]
    whole = reduce(merge, overlays)
    view = checked(yaml.safe_dump(whole))[whole["preset"]]
    seeds = {"registered": [3, 4, 5, 6, 7], "budget": [3, 4, 5, 6, 7], "finished": [3, 4, 5, 6, 7]}
    assert view["seeds"] == seeds.get(overlay.stem, [0, 1, 2])
    for claim in plan.claims(view).values():
        assert claim["run"] or "missing" in claim or claim["needs"] != view["preset"]
    images = {"faces_jpeg": 2_000, "celeba64": 19_962, "cifar10_jpeg_fresh": 5_000, "faces_jpeg_fresh": 2_000}
    assert plan.runs(merge(shipped_config(), whole), view)
    for need in plan.all_needs(view):
        if need["what"] == "metrics":
            assert plan.protocol(view, need["protocol"])["images"] <= images.get(need["dataset"], 10_000)


@pytest.mark.parametrize(
    "changes, name",
    [
        ("{claims: {headline: {seeds: [3, 4]}}}", "claims.headline"),
        ("{claims: {beyond_bits: {threshold: -0.1}}}", "claims.beyond_bits"),
        ("{claims: {quality_main: {registered: primary, seeds: [3]}}, only: [quality_main]}", "claims.headline"),
        ("{only: [headline]}", "claims.headline_today"),
        ("{protocols: {test-5000-2048: {images: 4000}}}", "claims.headline"),
        ("{overrides: {evaluation: {protocol: test-2000-2048}}}", "claims.headline"),
        ("{overrides: {roles: {main: fashion_mnist}}}", "claims.headline"),
        ("{preset: cpu, presets: {registered: {claims: {headline: {threshold: -9}}}}}", "claims.headline"),
    ],
)
def test_a_registered_claim_is_neither_changed_nor_left_out_nor_added(changes, name):
    registered = text_of("study/registered.yaml")
    with user_error(rf"^{name} is not as study/registered.yaml registers it"):
        checked(yaml.safe_dump(merge(yaml.safe_load(registered), yaml.safe_load(changes))))


def test_a_registration_that_is_not_there_is_named():
    with user_error(r"^nowhere\.yaml is not a file"):
        checked("registration: nowhere.yaml")


def test_the_readme_is_what_the_schema_says_of_every_section():
    assert config_keys.written(README, SCHEMA) == README, "run python -m tools.config_keys"
    blocks = {*re.findall(r"<!-- keys: (\w+) -->", README)}
    top = {"preset", "seeds", "only", "registration", "runtime", "presets", "overrides", "roles"}
    assert blocks == SCHEMA["properties"].keys() - top | {"top"}
