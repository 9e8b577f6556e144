"""What goes wrong in the store, sorted by who is at fault: the store, for now, or what it was asked."""

from __future__ import annotations

import re

#: ClickHouse's error code of a full disk.
NOT_ENOUGH_SPACE = 243

#: Codes of the engine's that speak of the machine or of what else goes on: the same statement may work later.
_UNAVAILABLE = frozenset(
    {
        # memory
        *(173, 239, 240, 241, 776, 777, 778, 1020),
        # time, and who ended it
        *(159, 160, 209, 236, 394, 677, 735, 1017, 1019),
        # others' work: locks, threads, too many parts or queries
        *(202, 203, 216, 252, 373, 384, 411, 439, 473, 587, 733, 738, 745, 749, 762, 763),
        # files and disks
        *(23, 24, 74, 75, 76, 77, 83, 87, 88, 172, 204, 214, NOT_ENOUGH_SPACE, 272, 273, 274, 275, 294, 298),
        *(303, 400, 424, 425, 458, 463, 521, 531, 566, 573, 586, 625, 635, 641, 662, 678, 679),
        # the network, other nodes, tables that are read-only for now
        *(95, 96, 198, 210, 225, 242, 244, 254, 279, 285, 286, 297, 319, 369, 529, 574, 999),
    }
)

#: Codes by which the engine says that it could not read, convert or compute with the bytes of an insert.
_DATA = frozenset(
    {
        # text and numbers
        *(6, 25, 26, 27, 38, 41, 69, 70, 72, 153, 321, 376, 407, 441, 467, 621, 675, 676, 691, 760),
        # shapes and sizes
        *(53, 117, 120, 128, 130, 131, 135, 190, 248, 349, 366, 395, 427, 469, 563, 645, 690),
        # what protobuf is made of
        *(32, 436, 437, 444, 569, 570, 626, 632),
    }
)

#: Those codes of what is short or broke off that one insert alone may cause, by what its bytes make the
#: engine do: memory, time, and the end of a connection, or of the server at its end.
_MAY_BE_DATA = frozenset({0, 95, 96, 159, 160, 173, 209, 210, 241, 777, 778})

#: What the libraries below the engine throw has codes of its own; of these the engine gives the name.
_FROM_BELOW = re.compile(r"DB::Exception: (?:std::\S*system_error|std::bad_alloc|Poco::\w*File)")
_LIBRARIES = frozenset({1000, 1001, 1002})


class StoreError(Exception):
    """The engine refused a statement. `code` is ClickHouse's error code, 0 when it gave none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code

    @property
    def speaks_of_data(self) -> bool:
        """Whether an insert failed of what its bytes say. Where this is false and the error is not that the
        store is unavailable, it may be either's fault.
        """
        return self.code in _DATA


class StoreUnavailable(StoreError):
    """The store's disk, memory, network or other work is in the way; the same call may succeed later."""

    @property
    def may_speak_of_data(self) -> bool:
        """Whether the bytes of an insert may bring this about, each time, in a store that is well."""
        return self.code in _MAY_BE_DATA or "DB::Exception: std::bad_alloc" in str(self)


class NotConfined(StoreError):
    """The engine has no access control of its own by which one project could be read."""


class StoreMismatch(StoreError):
    """The store is of a release that this one cannot use; the message says of which, and what to do."""


def store_error(message: str) -> StoreError:
    """ClickHouse's text as an error with its code; no code at all means it could not be reached."""
    code = 0
    marker = message.find("Code: ")
    if marker < 0:
        marker = message.find("code: ")
    if marker >= 0:
        digits = message[marker + 6 :].split(".", 1)[0].split(",", 1)[0].split(" ", 1)[0].strip()
        code = int(digits) if digits.isdigit() else 0
    from_below = code in _LIBRARIES and _FROM_BELOW.search(message, 0, 2000)
    if code == 0 or code in _UNAVAILABLE or from_below:
        return StoreUnavailable(message, code)
    return StoreError(message, code)
