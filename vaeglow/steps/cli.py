"""What every step script shares: one clear line for a user's error, a non-zero exit."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable

from vaeglow.errors import Interrupted, UserError
from vaeglow.files import explain_os_error

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: stopped by a signal with the state saved; the same command goes on


def run(main: Callable[[], None]) -> None:
    """Run a step; turn the errors a user can mend into one line on stderr and exit status 2."""
    try:
        main()
    except UserError as error:
        fail(str(error))
    except Interrupted as error:
        print(f"stopped: {error}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
    except MemoryError:
        fail("out of memory: lower the batch size (config: training.batch_size, evaluation.batch_size)")
    except OSError as error:
        explained = explain_os_error(error, error.filename or "a file")
        if not isinstance(explained, UserError):
            raise
        fail(str(explained))


def fail(message: str) -> None:
    """Print `error: message` and exit."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(EXIT_USER_ERROR)


def training_parser(description: str | None) -> ArgumentParser:
    """The flags that all training steps share."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--config", required=True, help="the run's config.json")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--state-dir", required=True, help="folder for resume state and lock")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--save-minutes", required=True, type=float, help="save resume state at least this often")
    parser.add_argument("--tensorboard", action="store_true", help="write event files beside the state folder")
    parser.add_argument("--model", required=True, help="output: weights, .safetensors")
    parser.add_argument("--history", required=True, help="output: a row an epoch, .csv")
    parser.add_argument("--training", required=True, help="output: epochs, seconds, hashes, .json")
    return parser
