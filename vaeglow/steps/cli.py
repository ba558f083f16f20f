"""What every step script shares: one clear line for a user's error, a non-zero exit."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from vaeglow.errors import STOP, Interrupted, UserError, handled, memory_used_up
from vaeglow.files import explain_os_error

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: stopped by a signal; the same command goes on
EXIT_KEYBOARD = 130  # the shell's own status after Ctrl-C


def run(main: Callable[[], None]) -> None:
    """Run a step; turn the errors a user can mend into one line on stderr and exit status 2."""
    try:
        with stoppable():
            main()
    except UserError as error:
        fail(str(error))
    except Interrupted as error:
        leave("stopped", str(error), EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        leave("stopped", "run the same command again", EXIT_KEYBOARD)
    except (MemoryError, RuntimeError) as error:
        memory = memory_used_up(error)
        if memory is None:
            raise
        fail(lower_batch_size(memory))
    except OSError as error:
        explained = explain_os_error(error, error.filename or "a file")
        if not isinstance(explained, UserError):
            raise
        fail(str(explained))


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the signals that tell a step to stop (`vaeglow.errors.STOP`) end it without half-written files.

    A trainer's loop handles them itself, to save first.

    Raises:
        Interrupted: in the block, when one of them arrives.
    """

    def stop(number: int, frame: object) -> None:
        raise Interrupted(f"{signal.Signals(number).name}: run the same command again")

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    with handled(stop, STOP):
        yield


def fail(message: str) -> NoReturn:
    """Print `error: message` and exit."""
    leave("error", message, EXIT_USER_ERROR)


def leave(what: str, message: str, status: int) -> NoReturn:
    """Print `what: message` and exit. A process that torchrun started leaves it to that."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        Path(file).write_text(json.dumps({"message": message, "status": status}), encoding="utf-8")
    else:
        print(f"{what}: {message}", file=sys.stderr)
    raise SystemExit(status)


def lower_batch_size(memory: str) -> str:
    """What to say when `memory` is used up."""
    return f"out of {memory}: lower training.batch_size (while training) or evaluation.batch_size in the config"


def json_object(flag: str, text: str) -> dict[str, Any]:
    """The value of a flag that takes a JSON object.

    Args:
        flag: its name, for the message.
        text: what the command line gave.

    Raises:
        UserError: it is no JSON, or no object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{flag} is not JSON ({error}): quote it as one argument") from None
    if not isinstance(value, dict):
        raise UserError(f"{flag} is not a JSON object: write it as {{...}}")
    return value


def step_parser(description: str | None) -> ArgumentParser:
    """A parser of whole flags: an abbreviation would change its meaning when a flag is added."""
    return ArgumentParser(description=description, allow_abbrev=False)
