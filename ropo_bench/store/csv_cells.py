"""Texts in CSV files that a spreadsheet opens."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: T) -> T | str:
    """A text that a spreadsheet would run as a formula with an apostrophe before it; numbers and the rest as is.

    A carriage return, which would end the row for some readers, becomes a space.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")
    return f"'{text}" if value.startswith(_FORMULA) else text
