"""One peer of one case in a process of its own, so that its peak memory is its own: told round by round when to run.

It is started by `benchmarks.interleave`; each answer is one line of JSON on stdout, everything else goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import Setting
from benchmarks.cases import find
from vaeglow.steps import cli

WARMUP = 1  # step before the first round, beside those that a work's facts take
ROUND_SECONDS = {False: 2.0, True: 0.05}  # a round's least length by `quick`; each has a step or more


def main(case: str, peer: str, setting: Setting) -> None:
    """Build the work, warm it up, then time a round for each line on stdin."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=answers, flush=True)

    import torch

    from vaeglow.device import pick_device, set_threads
    from vaeglow.training.timing import peak_memory, steps_to_fill, time_window

    device = pick_device(setting.device)
    chosen = next(one for one in find(case).peers if one.name == peer)
    if chosen.package:
        set_threads(setting.threads)
    else:
        torch.set_num_threads(setting.threads)
    before, _ = peak_memory(device)
    work = chosen.build(setting)
    steps = steps_to_fill(work.step, WARMUP, ROUND_SECONDS[setting.quick], device)
    answer({"images": work.images, "facts": dict(work.facts), "memory_before": before})
    for _ in sys.stdin:
        seconds, _ = time_window(work.step, steps, device)
        answer({"seconds": seconds / (steps * work.images), "steps": steps, "memory": peak_memory(device)[0]})


def from_command_line() -> None:
    """The case, the peer, and the setting as JSON."""
    case, peer, setting = sys.argv[1:]
    values = json.loads(setting)
    main(case, peer, Setting(**{**values, "folder": Path(values["folder"])}))


if __name__ == "__main__":
    cli.run(from_command_line)
