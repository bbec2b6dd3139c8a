"""A report opened in a browser's tab, for the tests of the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


class Report:
    """A page in the browser, with what it asked the network for and what it complained of."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **context})
        self.tab = self.context.new_page()
        self.tab.route(re.compile(r"^(?!file:)"), lambda route: route.abort())
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.goto(path.as_uri())

    def names(self) -> list[str]:
        return self.tab.locator("#board tbody th").evaluate_all("cells => cells.map(c => c.dataset.name)")

    def status(self) -> str:
        return self.tab.locator("#status").inner_text()

    def found(self) -> int:
        """How many samples match."""
        told = re.search(r"of ([\d,]+) matches", self.status())
        return int(told[1].replace(",", "")) if told else 0

    def quick(self, value: str) -> None:
        self.tab.locator(f"input[name=quick][value={value}]").check()
