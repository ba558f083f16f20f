"""Tests of the models run in one thread of torch each."""

from models_tools import one_thread

__all__ = ["one_thread"]
