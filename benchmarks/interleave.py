"""Run the peers of a case in turns (A B C, A B C, ...), each in its own process, one at a time. No torch."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Measured, Setting
from vaeglow.errors import UserError

ROOT = Path(__file__).parents[1]
SHOWN = 3  # last lines of a peer's stderr in the message of its end


class Process:
    """One peer's process: it works only while it is asked to."""

    def __init__(self, case: Case, name: str, setting: Setting) -> None:
        self.label = f"case {case.name}, {name}"
        self.errors = setting.folder / f"{name}.stderr"
        values = json.dumps({**asdict(setting), "folder": str(setting.folder)})
        command = [sys.executable, "-m", "benchmarks.worker", case.name, name, values]
        with open(self.errors, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def read(self) -> dict[str, Any]:
        """Its next answer.

        Raises:
            UserError: it ended instead; the message has the last lines it wrote.
        """
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            last = " | ".join(self.errors.read_text(encoding="utf-8").strip().splitlines()[-SHOWN:])
            raise UserError(f"{self.label}: ended with status {status}: {last or 'no message'}")
        return json.loads(line)

    def round(self) -> dict[str, Any]:
        """Let it run one round."""
        with contextlib.suppress(BrokenPipeError):  # `read` says why
            print("round", file=self.process.stdin, flush=True)
        return self.read()

    def end(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.communicate()


def measure(case: Case, setting: Setting, rounds: int) -> dict[str, Measured]:
    """Measure all peers of a case.

    Args:
        case: whose peers' modules are there.
        setting: its folder is there.
        rounds: how often each peer has its turn.

    Raises:
        UserError: a peer's process ended, or peers that should agree do not.
    """
    with contextlib.ExitStack() as stack:
        processes, ready = {}, {}
        for peer in case.peers:  # one after the other: none is built while another one warms up
            processes[peer.name] = Process(case, peer.name, setting)
            stack.callback(processes[peer.name].end)
            ready[peer.name] = processes[peer.name].read()
        facts: Mapping[str, Any] = {name: one["facts"] for name, one in ready.items()}
        try:
            case.check(facts)
        except ValueError as error:
            raise UserError(f"case {case.name}: the peers do not do the same work: {error}") from None
        seconds: dict[str, list[float]] = {name: [] for name in processes}
        memory: dict[str, int] = {}
        for _ in range(rounds):
            for name, process in processes.items():
                found = process.round()
                seconds[name].append(found["seconds"])
                memory[name] = found["memory"]
    return {
        name: Measured(one["images"], seconds[name], memory[name], one["memory_before"], facts[name])
        for name, one in ready.items()
    }
