"""Look into one trained run: `probe latents --reads model=... test=... --settings '{...}' --output latents.json`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.evaluation.probes import NAMES, probe
from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("name", choices=NAMES, help="kind of probe (vaeglow/evaluation/probes)")
    parser.add_argument("--reads", required=True, nargs="+", help="what it reads, NAME=PATH each; `model` always")
    parser.add_argument("--settings", required=True, help="its entry in the config's probes, and batch_size, as JSON")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, type=Path, help="result to write, .json or .npz")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Probe with the run's own seed.

    Raises:
        UserError: a file that is not named, or whatever the probe raises.
    """
    options = parse(argv)
    settings = cli.json_object("--settings", options.settings)
    kind, reads = probe(options.name), {name: Path(path) for name, _, path in (r.partition("=") for r in options.reads)}
    if missing := [name for name in kind.READS if name not in reads]:
        raise UserError(f"probe {options.name} reads {', '.join(missing)}, too: add {missing[0]}=PATH to --reads")
    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.results import write_result

    run = TrainedRun(reads["model"], options.device)
    content, arrays = kind.measure(run, reads, settings)
    inputs = [path for path in reads.values() if path.suffix != ".npy"]  # the data have a hash of their own
    write_result(options.output, {**run.identity, **content}, inputs, run.provenance, arrays)


if __name__ == "__main__":
    cli.run(main)
