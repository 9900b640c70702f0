"""The whole spec as one HTML page: every clause with links to its lines, witnesses, tests and mutants."""

import html
import re

from markdown_it import MarkdownIt

from frcnn import spec
from frcnn.conformance import gate
from frcnn.conformance.mutants import mutants

_STYLE = """
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 Georgia, serif; color: #222 }
code { font-size: .88em } h3 code { font-size: 1em } a { color: #1a5276 }
nav ul { columns: 2; list-style: none; padding: 0 } nav li { break-inside: avoid }
.places { font-size: .82rem; color: #555; border-left: 3px solid #ddd; padding-left: .8rem; margin: -.4rem 0 1.6rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { border: 1px solid #ccc; padding: .2rem .5rem }
"""


def render(verdict: gate.Verdict, sources: str) -> str:
    """The document. verdict: what the gate found; sources: where the checkout lies, a URL or a relative path.

    Pages come in the order of spec.PAGES; a clause's anchor is its id, a page's its name.
    """
    markdown = MarkdownIt("commonmark").enable("table")
    pages = [_page(markdown, name, verdict, sources) for name in spec.PAGES]
    contents = "".join(f'<li><a href="#{name}">{_title(name)}</a></li>' for name in spec.PAGES)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>Fast R-CNN's operators, spec {spec.VERSION}</title><style>{_STYLE}</style>",
            f"<h1>Fast R-CNN's operators: the spec, version {spec.VERSION}</h1>",
            f"<p>{len(spec.clauses())} clauses, each with its lines of the reference, witnesses, tests, mutants.</p>",
            f"<nav><ul>{contents}</ul></nav>",
            *pages,
            "</html>\n",
        ]
    )


def _title(name):
    return html.escape(spec.text(name).splitlines()[0].removeprefix("# "))


def _page(markdown, name, verdict, sources):
    """One page as HTML: headings of clauses become anchors, mentions of clauses and of other pages links."""
    body = markdown.render(spec.text(name)).replace("<h1>", f'<h1 id="{name}">', 1)
    body = re.sub(r'href="([a-z0-9-]+)\.md"', r'href="#\1"', body)
    # A link to a clause is by the anchor that GitHub makes; its anchor here is its id, which _linked knows.
    body = re.sub(r'<a href="[a-z0-9-]+\.md#[^"]+">(<code>[^<]+</code>)</a>', r"\1", body)
    body = re.sub(r'href="\.\./', f'href="{sources}/', body)
    heads = re.split(r"(?=<h[1-6])", body)
    return "".join(_section(section, verdict, sources) for section in heads)


def _section(section, verdict, sources):
    """A heading and what stands below it. One that is an id, of a clause or of a divergence, becomes an anchor."""
    first, _, rest = section.partition("\n")
    rest = re.sub(r"<code>([a-z0-9-]+\.[a-z0-9-]+)</code>", _linked, rest)
    first = re.sub(r"^<h([23])><code>([a-z0-9.-]+)</code>", r'<h\1 id="\2"><code>\2</code>', first)
    anchor = re.match(r'<h3 id="([^"]+)"', first)
    if anchor is None or anchor[1] not in verdict.rows:
        return f"{first}\n{rest}"
    return f'{first}\n{rest}<p class="places">{_places(verdict.rows[anchor[1]], sources)}</p>\n'


def _linked(match):
    id = match[1]
    return f'<a href="#{id}"><code>{id}</code></a>' if id in spec.clauses() else match[0]


def _places(row, sources):
    """Where a clause stands, beside the page itself."""
    shelf = mutants()
    parts = {
        "Reference": [_line(place, sources) for place in row["reference"]],
        "Witnesses": [f"<code>{witness}</code>" for witness in row["witness"]],
        "Tests": [_test(test, sources) for test in row["test"]],
        "Mutants": [html.escape(shelf[mutant].fault) for mutant in row["mutant"]],
    }
    return "<br>".join(f"{name}: {'; '.join(items)}" for name, items in parts.items() if items)


def _test(test, sources):
    file, _, name = test.partition("::")
    sentence = name.removeprefix("test_").replace("_", " ")
    return f'<a href="{sources}/conformance/operators/{file}">{sentence}</a>'


def _line(place, sources):
    file, _, number = place.partition(":")
    return f'<a href="{sources}/{file}#L{number}">{place}</a>'
