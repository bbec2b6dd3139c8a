"""What makes a record no preference pair."""

from __future__ import annotations


class MalformedError(Exception):
    """This record is no preference pair; the message is the reason."""
