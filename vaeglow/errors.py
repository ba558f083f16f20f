"""The exceptions a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: bad config, missing data, a corrupt file, no GPU.

    The message is one line that says what is wrong, where, and what to do. A step script prints it
    without a traceback and exits with status 2 (`vaeglow.steps.cli.run`).
    """


class UnfitImages(UserError):
    """A model cannot take a dataset's images; it matters once such a run is asked for."""


class DamagedFile(UserError):
    """A file of ours is missing or not whole, as opposed to one that cannot be read just now (memory, permission)."""


class Interrupted(BaseException):
    """The process was told to stop (SIGTERM, SIGUSR1, SIGINT); what it saved is whole and the next run goes on.

    No `Exception`: it may rise anywhere, and a library's `except Exception` must not swallow it.
    """
