"""The parts of a page that a server sends anew, each when it has changed: deltas by a cursor."""

import secrets


class Parts:
    """Pieces of a page as HTML by their id, each with the number of the change that made it so.

    Attributes:
        number: of the last change, here and in whatever else counts along, such as curves.
    """

    def __init__(self) -> None:
        """No part yet."""
        self.number = 0
        self._name = secrets.token_hex(4)
        self._html: dict[str, str] = {}
        self._changed: dict[str, int] = {}

    @property
    def cursor(self) -> str:
        """What a page sends next time, to be told what has changed since."""
        return f"{self._name}-{self.number}"

    @property
    def ids(self) -> list[str]:
        """The ids of the parts, in the order in which they came."""
        return list(self._html)

    def since(self, cursor: str) -> int:
        """The number of the last change that a page knows; 0 for one that knows nothing of this server's counting."""
        name, _, number = cursor.partition("-")
        known = int(number) if name == self._name and number.isdecimal() and len(number) < 16 else 0
        return known if known <= self.number else 0

    def set_all(self, html_of: dict[str, str]) -> None:
        """The parts as they are now, in the order of the page; those that are not among them are gone."""
        for part in self._html.keys() - html_of.keys():
            del self._html[part], self._changed[part]
        for part, html in html_of.items():
            if self._html.get(part) != html:
                self.number += 1
                self._changed[part] = self.number
        self._html = dict(html_of)

    def changed(self, known: int) -> dict[str, str]:
        """The parts that changed after a change of this number."""
        return {part: html for part, html in self._html.items() if self._changed[part] > known}
