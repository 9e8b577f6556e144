"""Panics of libraries written in Rust: Python gets them as a BaseException, with texts for developers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class LibraryPanicked(Exception):
    """A library of Rust's broke off in the middle of something. Its own text is the cause's."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Within, a panic is a LibraryPanicked, and so ends the request and not the thread that it was in."""
    try:
        yield
    except BaseException as error:
        # Each library has a class of its own, which cannot be imported.
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise LibraryPanicked("a library broke off: this cannot be worked on") from error
