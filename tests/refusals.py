"""What tests say of a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vaeglow.errors import UserError


def error_line(text: str) -> str:
    """The one line that a command said which ended in an error."""
    (line,) = text.splitlines()
    assert line.startswith("error: ")
    return line


@contextmanager
def user_error(says: str | None = None) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """The block ends in a `UserError` of one line in which the pattern `says` is found."""
    with pytest.raises(UserError, match=says) as caught:
        yield caught
    assert "\n" not in str(caught.value)
