"""Runs `python -m ...` in forks of a process that has imported the libraries, but not the checkout's own package."""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback

LIBRARIES = ("torch._dynamo", "torchvision", "scipy.linalg", "pandas", "jsonschema", "snakemake.cli")


def serve(path: str) -> None:
    """Until standard input ends, as it does with the tests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a fork
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.early")
        listening.listen(64)
        for name in LIBRARIES:
            importlib.import_module(name)
        gc.freeze()  # forks share what is there
        os.rename(f"{path}.early", path)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            if os.fork() == 0:
                take(connection)
            connection.close()


def take(connection: socket.socket) -> None:
    """In a fork: run a command in its folder, with its environment and streams; answer with its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    streams = socket.recv_fds(connection, 1, 4)[1]
    command, folder, environment = json.load(connection.makefile())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = ["", *environment["PYTHONPATH"].split(os.pathsep)]
    sys.argv[1:], status = command[1:], 0
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([status & 255]))
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
