"""What every step shares: its command line; one line and an exit status for a user's error."""

import json
import os
import re
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from os import getenv
from types import UnionType
from typing import Any, Literal, NoReturn, get_args, get_origin

from vaeglow.errors import STOP, Interrupted, UserError, handled, memory_used_up
from vaeglow.files import Facts, explain_os_error, write_json

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: stopped by a signal; the same command resumes
EXIT_KEYBOARD = 130  # the shell's own status after Ctrl-C
LESS_MEMORY = "lower training.batch_size (while training) or evaluation.batch_size in the config"
COMMON = {  # the help of flags that several steps have
    "spec": "what to make, a JSON file (vaeglow.config.plan.spec)",
    "model": "the run's weights, .safetensors",
    "training": "the run's training.json",
    "data_dir": "folder of the prepared dataset",
    "reference": "npz file of the step fid_reference",
    "weights": "file of the step inception_weights",
    "results_root": "folder that holds the presets' folders",
    "temperature": "scale of the decoder's noise, or of all noise of a Glow or Residual Flow; 0: none",
    "batch_size": "images at a time",
    "device": "auto, cpu or cuda",
    "memory": "store a flow's activations or recompute them",
    "threads": "CPU threads inside torch",
    "output": "file to write",
}


def step(function: Callable[..., None]) -> Callable[..., None]:
    """Give a step the command line that its signature describes; run a `main` whose module is run by `python -m`.

    A keyword `data_dir` becomes the flag `--data-dir`, with the annotated type: `list[...]` takes several values,
    `Literal[...]` one of these, `dict` a JSON object; `bool` is a flag without a value. A parameter with a default may
    be left out. The help is a line of the docstring's `Args:`, or of `COMMON`.

    Returns:
        `main(argv)`: the step by a list of words, or by the process's own; its `parser` is the `ArgumentParser`.
    """
    # no abbreviations: one would change its meaning when a flag is added
    parser = ArgumentParser(description=sys.modules[function.__module__].__doc__, allow_abbrev=False)
    texts = COMMON | dict(re.findall(r"^ +(\w+): (.+)$", function.__doc__.partition("Args:")[2], re.MULTILINE))
    for name, parameter in signature(function).parameters.items():
        flag = f"--{name.replace('_', '-')}" if parameter.kind is parameter.KEYWORD_ONLY else name
        parser.add_argument(flag, help=texts.get(name), **flag_options(parameter))

    @wraps(function)
    def main(argv: Sequence[str] | None = None) -> None:
        function(**vars(parser.parse_args(argv)))

    main.parser = parser  # type: ignore[attr-defined]
    if (function.__module__, function.__name__) == ("__main__", "main"):
        run(main)
    return main


def flag_options(parameter: Parameter) -> Facts:
    """The arguments of `add_argument` for a parameter, except its name."""
    wanted = parameter.annotation
    origin = get_origin(wanted)
    needed = parameter.default is parameter.empty
    options: Facts = {}
    if wanted is bool:
        return {"action": "store_true"}
    if origin is list:
        options["nargs"] = "+" if needed else "*"
    if parameter.kind is parameter.KEYWORD_ONLY:
        options |= {"required": needed, "default": parameter.default}
    if origin is Literal:
        return {**options, "choices": get_args(wanted)}
    if origin in (list, UnionType):  # a union is with None
        wanted = get_args(wanted)[0]
    return {**options, "type": json_object if wanted is dict else wanted}


def flags(**values: Any) -> list[str]:
    """The words of a step's command line: `--flag value` for each keyword, of a list all after its flag."""
    words = []
    for name, value in values.items():
        words.append(f"--{name.replace('_', '-')}")
        words += map(str, value if isinstance(value, list) else [value])
    return words


def json_object(text: str) -> Facts:
    """The value of a flag that takes a JSON object; argparse reports the ValueError or TypeError of another text."""
    return {**json.loads(text)}


def run(main: Callable[[], None]) -> None:
    """Run a step; print user errors in one line on stderr and exit with status 2.

    The signals that tell it to stop (`vaeglow.errors.STOP`) end it without half-written files; a trainer's loop handles
    them itself, to save first.
    """

    def stop(number: int, frame: object) -> None:
        raise Interrupted(f"{signal.Signals(number).name}: run the same command again")

    if sys.stdout:  # else it is closed
        sys.stdout.reconfigure(line_buffering=True)  # a log shows at once how far its job is
    try:
        with handled(stop, STOP):
            main()
    except Interrupted as error:
        exit_with("stopped", str(error), EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        exit_with("stopped", "run the same command again", EXIT_KEYBOARD)
    except BrokenPipeError:  # who reads the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        known = error
        memory = memory_used_up(error)
        if memory:
            known = UserError(f"out of {memory}: {LESS_MEMORY}")
        elif isinstance(error, OSError):
            known = explain_os_error(error, error.filename or "a file")
        if not isinstance(known, UserError):
            raise
        exit_with("error", str(known), EXIT_USER_ERROR)


def exit_with(what: str, message: str, status: int) -> NoReturn:
    """Print `what: message` and exit. Under torchrun the line goes to its error file instead."""
    file = getenv("TORCHELASTIC_ERROR_FILE")
    if file:
        write_json(file, {"message": f"{what}: {message}", "status": status})
    else:
        print(f"{what}: {message}", file=sys.stderr)
    raise SystemExit(status)
