"""What tests say of a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vaeglow.errors import UserError


@contextmanager
def user_error(says: str | None = None) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """The block ends in a `UserError` of one line in which the pattern `says` is found."""
    with pytest.raises(UserError, match=says) as caught:
        yield caught
    assert "\n" not in str(caught.value)
