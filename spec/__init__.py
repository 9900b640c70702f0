"""The spec: one page per operator, and the clauses read from them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VERSION = "1.0"
"""Of all pages together; stated here alone. Reports, vectors and the rendered document take it from here."""

PAGES = (
    "roi-pool",
    "spp",
    "boxes",
    "targets",
    "sampling",
    "loss",
    "sgd",
    "init",
    "svd",
    "preprocess",
    "nms",
    "detection",
    "evaluation",
    "divergences",
)
"""In the order in which they are best read."""

_HEADING = re.compile(r"^### `(?P<id>[a-z0-9-]+\.[a-z0-9-]+)`(?: \((?P<mark>optional|retired)\))?$")


@dataclass(frozen=True)
class Clause:
    """One normative sentence: its id, the page it stands on, whether an implementation may do without, its text.

    A retired one binds nobody any more; it stays on its page so that its id is never given to another.
    """

    id: str
    page: str
    optional: bool
    retired: bool
    text: str

    @property
    def sentence(self) -> str:
        """The part that binds, which comes first and in bold, on one line."""
        return " ".join(self.text.split("**")[1].split())


def text(page: str) -> str:
    """A page as it is written, in Markdown."""
    return (Path(__file__).parent / f"{page}.md").read_text(encoding="utf-8")


def clauses() -> dict[str, Clause]:
    """Every clause that is in force, by id, in reading order. Raises ValueError where an id is used twice."""
    return _read()[0]


def retired() -> dict[str, Clause]:
    """Every clause that was withdrawn, by id."""
    return _read()[1]


@cache
def _read():
    found: dict[str, Clause] = {}
    for page in PAGES:
        for heading, body in _sections(text(page)):
            if match := _HEADING.match(heading):
                if match["id"] in found:
                    raise ValueError(f"{page}.md: clause {match['id']} stands in {found[match['id']].page}.md already")
                found[match["id"]] = Clause(
                    match["id"], page, match["mark"] == "optional", match["mark"] == "retired", body.strip()
                )
    kept = {id: clause for id, clause in found.items() if not clause.retired}
    return kept, {id: clause for id, clause in found.items() if clause.retired}


def _sections(text: str):
    """(heading line, text up to the next heading) of each heading of any depth."""
    parts = re.split(r"^(#{1,6} .*)$", text, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)
