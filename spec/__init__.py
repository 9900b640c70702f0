"""The spec: one page per operator, and the clauses read from them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VERSION = "0.2"

_HEADING = re.compile(r"^### `(?P<id>[a-z0-9-]+\.[a-z0-9-]+)`(?P<optional> \(optional\))?$")


@dataclass(frozen=True)
class Clause:
    """One normative sentence: its id, the page it stands on, whether an implementation may do without, its text."""

    id: str
    page: str
    optional: bool
    text: str

    @property
    def sentence(self) -> str:
        """The part that binds, which comes first and in bold, on one line."""
        return " ".join(self.text.split("**")[1].split())


@cache
def clauses() -> dict[str, Clause]:
    """Every clause of every page, by id, in reading order. Raises ValueError where an id is used twice."""
    found: dict[str, Clause] = {}
    for page in sorted(Path(__file__).parent.glob("*.md")):
        for heading, body in _sections(page.read_text(encoding="utf-8")):
            if match := _HEADING.match(heading):
                if match["id"] in found:
                    raise ValueError(f"{page.name}: clause {match['id']} stands in {found[match['id']].page} already")
                found[match["id"]] = Clause(match["id"], page.stem, bool(match["optional"]), body.strip())
    return found


def _sections(text: str):
    """(heading line, text up to the next heading) of each heading of any depth."""
    parts = re.split(r"^(#{1,6} .*)$", text, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)
