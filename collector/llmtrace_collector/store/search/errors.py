"""What is wrong with a search, and where in its text."""

from __future__ import annotations


class SearchError(ValueError):
    """A search that cannot be understood.

    `position` and `length` are the place in the text that `message` is about, in characters from 0;
    `suggestion` is what could stand there instead, None where nothing comes near.
    """

    def __init__(self, message: str, position: int, length: int, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.length = length
        self.suggestion = suggestion

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion} ?" if self.suggestion else ""
        return f"{self.message} (at character {self.position + 1}){hint}"

    def offending(self, text: str) -> str:
        """The piece of `text`, the search, that the error is about."""
        return text[self.position : self.position + self.length]

    def underlined(self, text: str) -> str:
        """`text`, the search, on a line, and marks under the place of the error on the next."""
        flat = "".join(" " if char.isspace() else char for char in text)
        return f"{flat}\n{' ' * self.position}{'^' * max(1, self.length)}"
