"""Until the merge: see `vaeglow.reporting.forms`."""

from vaeglow.reporting.forms import to_html

__all__ = ("to_html",)
