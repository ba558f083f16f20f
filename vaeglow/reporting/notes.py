"""Until the merge: see `vaeglow.reporting.forms`."""

from vaeglow.reporting.forms import demo_note

__all__ = ("demo_note",)
