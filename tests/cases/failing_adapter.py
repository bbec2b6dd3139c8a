"""A user's adapter whose own code fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft import LoraConfig


@dataclass
class FailingConfig(LoraConfig):
    """Asked for its ranks, it has no luck."""

    def __getattribute__(self, name: str) -> Any:
        if name == "rank_pattern":
            raise LookupError("no luck")
        return super().__getattribute__(name)
