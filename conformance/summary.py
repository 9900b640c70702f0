"""Reports made readable: the table at the end of a run, and reports/index.md."""

from tabulate import tabulate

from frcnn import spec
from frcnn.conformance.report import OUTCOMES, clause_outcomes, lacking, lacks_caffe_2015, objections, scope


def table(reports) -> str:
    """backend x clause group: outcomes, examples, worst margin (share of the allowed error that was used)."""
    return tabulate(_rows(reports), headers="keys", tablefmt="simple", missingval="-")


def closing_lines(reports, out) -> list[str]:
    """What a person wants to know after the table: verdicts, what stands against them, what real input showed."""
    lines = [""]
    for head, body, foot in reports:
        name = head["backend"]["name"]
        lines.append(f"{name}: {foot['verdict']}{scope(head)}, report {foot['id'][:12]}")
        first = _first_reasons(body)
        lines += [
            f"  {clause}: {outcome}{first.get((clause, outcome), '')}"
            for clause, outcome in objections(head, body).items()
        ]
        lines += [f"  {sentence}" for sentence in _facts(head, body)]
    return [*lines, f"reports: {out / 'index.md'}"]


def _first_reasons(body):
    """By clause and outcome, how the first test ended that ended so, in a line."""
    first: dict[tuple[str, str], str] = {}
    for result in body:
        for clause in result["clauses"]:
            reason = (result["reason"] or "").partition("\n")[0]
            first.setdefault((clause, result["outcome"]), f": {reason[:160]}" if reason else "")
    return first


def verdicts(reports) -> str:
    """One line for each report as a Markdown table, and below it what was run and what real input showed."""
    rows = [
        {
            "backend": head["backend"]["name"],
            "verdict": foot["verdict"],
            "version": head["backend"]["version"],
            "executed": head["backend"]["executed"],
            "examples a property": head["examples"],
            **{outcome: foot["counts"][outcome] for outcome in OUTCOMES},
            "calls compared": foot["examples"],
            "of each photograph": " or ".join(_subsets(body)) or "-",
            "day": head["started"][:10],
            "report": f"`{foot['id'][:12]}`",
        }
        for head, body, foot in reports
    ]
    said = [line for sentences in (_made, _examined, _facts, _lacks) for line in _of_each(reports, sentences)]
    as_written = [list(rows[0]).index(column) for column in ("backend", "version")] if rows else []  # 1.10 is not 1.1
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=as_written)
    return "\n".join([table, "", *(f"- {line}" for line in said)])


def replaced(page, text) -> str:
    """The page with text between its marks, `<!-- begin: ... -->` and `<!-- end -->`; ValueError without them."""
    begin = page.find("<!-- begin: frcnn report table")
    start, end = page.find("-->", begin) + len("-->"), page.find("<!-- end -->", begin)
    if begin < 0 or end < start:
        raise ValueError("the page has no marks `<!-- begin: frcnn report table ... -->` and `<!-- end -->`")
    return f"{page[:start]}\n{text}\n{page[end:]}"


def index(reports) -> str:
    """reports/index.md: verdicts, how each was run, the table, clause by backend, the suite examined, reasons."""
    outcomes = {name: _by_clause(body) for name, (_, body, _) in zip(_names(reports), reports, strict=True)}
    clauses = [
        {"clause": id, **{name: found.get(id, "-") for name, found in outcomes.items()}} for id in spec.clauses()
    ]
    return "\n".join(
        [
            "# Conformance report",
            "",
            verdicts(reports),
            *(f"- {line}" for line in _of_each(reports, _drawn)),
            "",
            "## By group",
            "",
            tabulate(_rows(reports), headers="keys", tablefmt="github", missingval="-"),
            "",
            "*Worst margin* is the largest share of the allowed error that a result used; 0 is bit for bit.",
            "",
            "## By clause",
            "",
            tabulate(clauses, headers="keys", tablefmt="github"),
            "",
            *_kill_matrices(reports),
            *_section("Not passed", [line for h, body, _ in reports for line in _reasons(h, body)]),
        ]
    )


def _by_clause(body):
    """The outcome of each clause, or those under either profile where they differ."""
    whole = clause_outcomes(body)
    if lacks_caffe_2015(body):
        return whole
    exact = clause_outcomes([result for result in body if result["profile"] != "caffe-2015"])
    caffe = clause_outcomes([result | {"profile": None} for result in body if result["profile"] != "exact"])
    apart = {id: (exact[id], caffe[id]) for id in exact.keys() & caffe.keys() if exact[id] != caffe[id]}
    return whole | {id: f"`exact` {one}, `caffe-2015` {other}" for id, (one, other) in apart.items()}


def _names(reports):
    """Of the backends; with the reports' ids where one backend has several."""
    names = [head["backend"]["name"] for head, _, _ in reports]
    if len(set(names)) == len(names):
        return names
    return [f"{name} {foot['id'][:12]}" for name, (_, _, foot) in zip(names, reports, strict=True)]


def _rows(reports):
    rows = []
    for head, body, _ in reports:
        for group in dict.fromkeys(result["group"] for result in body):
            results = [result for result in body if result["group"] == group]
            margins = [result["worst_margin"] for result in results if result["worst_margin"] is not None]
            rows.append(
                {
                    "backend": head["backend"]["name"],
                    "group": group,
                    **{outcome: sum(result["outcome"] == outcome for result in results) for outcome in OUTCOMES},
                    "examples": sum(result["examples"] for result in results),
                    "worst margin": f"{max(margins):.3f}" if margins else None,
                    "seconds": round(sum(result["seconds"] for result in results), 1),
                }
            )
    return rows


def _of_each(reports, sentences):
    """What sentences(head, body) says of each report: once where it is said of all, else after the names."""
    said: dict[str, list[str]] = {}
    for name, (head, body, _) in zip(_names(reports), reports, strict=True):
        for sentence in sentences(head, body):
            said.setdefault(sentence, []).append(name)
    return [line if len(names) == len(reports) else f"{', '.join(names)}: {line}" for line, names in said.items()]


def _made(head, body):
    machine, commit = head["machine"], head.get("commit") or "unknown"
    return [
        f"Profile `{head['effort']}`{scope(head)}, spec {head['spec']}, suite `{head['suite'][:12]}`, "
        f"frcnn {head['frcnn']}, commit `{commit}`; {machine['processor']}, {machine['cores']} cores"
    ]


def _drawn(head, body):
    """From what the examples came, and with what."""
    machine, versions = head["machine"], head["versions"]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    seed = "none, for nothing is drawn by chance" if head["seed"] is None else head["seed"]
    return [
        f"Seed: {seed}",
        f"{machine['system']} {machine['architecture']}, Python {machine['python']}, {libraries}",
    ]


def _examined(head, body):
    """What became of the suite's own mutants."""
    if reason := head["mutants"].get("reason"):
        return [f"No kill matrix: {reason}"]
    matrix = head["mutants"]["matrix"]
    killed = [row for row in matrix if row["outcome"] == "killed"]
    drawn = [row["draws"] for row in killed if row.get("draws", 1) > 1]
    by_drawing = f", {len(drawn)} of them by drawn examples alone, in each of {max(drawn)} draws" if drawn else ""
    return [
        f"Of {len(matrix)} mutants, each the reference with one fault, this suite fails {len(killed)} by the clause "
        f"violated{by_drawing}"
    ]


def _kill_matrices(reports):
    """A section for each suite that the reports are of."""
    lines = []
    for suite, mutants in {head["suite"]: head["mutants"] for head, _, _ in reports}.items():
        rows = [
            {name: row[name] for name in ("mutant", "clause", "fault")}
            | {"failed by": f"{row['killed_by']} of {row['tests']} tests"}
            for row in mutants.get("matrix", ())
        ]
        if rows:
            lines += [f"## Suite `{suite[:12]}` examined", "", tabulate(rows, headers="keys", tablefmt="github"), ""]
    return lines


def _facts(head, body):
    """What the real group found, in sentences; the reason where it did not run."""
    if reason := head["real"].get("reason"):
        return [reason]
    facts = [result["facts"] for result in body]
    boxes, boxes_apart, bins, bins_apart = (
        sum(f.get(key, 0) for f in facts) for key in ("boxes", "boxes_apart", "bins", "bins_apart")
    )
    if not boxes:
        return []
    return [
        f"profiles exact and caffe-2015 on {head['real']['photographs']} photographs: "
        f"{boxes_apart} of {boxes} boxes have different windows, {bins_apart} of {bins} bins differ"
    ]


def _lacks(head, body):
    """What the backend does not have: whole pages, the profile caffe-2015, then clauses of the other pages."""
    absent = lacking(body)
    single = [
        clause
        for clause, outcome in clause_outcomes(body).items()
        if outcome == "missing" and spec.clauses()[clause].page not in absent
    ]
    pages = [f"no operator of {', '.join(absent)}"] if absent else []
    profile = ["no profile caffe-2015"] if lacks_caffe_2015(body) else []
    said = [*pages, *profile, *(f"no {clause}" for clause in single)]
    return ["; ".join(said)] if said else []


def _subsets(body):
    """How much of each photograph a backend was held to."""
    return sorted({result["facts"]["subset"] for result in body if "subset" in result["facts"]})


def _reasons(head, body):
    """One line a test that did not pass and was not merely skipped or missing; missing and skipped by their reason."""
    name = head["backend"]["name"]
    lines = []
    for outcome in ("crashed", "failed"):
        for result in (r for r in body if r["outcome"] == outcome):
            clauses = ", ".join(result["clauses"])
            lines.append(f"{name}: **{outcome}** `{result['test']}` ({clauses})\n\n{_quoted(result['reason'])}")
    for outcome in ("missing", "skipped"):
        reasons: dict[str, int] = {}
        for result in (r for r in body if r["outcome"] == outcome):
            reasons[result["reason"]] = reasons.get(result["reason"], 0) + 1
        lines += [f"{name}: {outcome}, {count} tests: {reason}" for reason, count in reasons.items()]
    return lines


def _quoted(reason):
    """The first lines of a reason; the report has it whole, with what to paste to see it again."""
    return "\n".join(f"      {line[:200]}" for line in (reason or "").splitlines()[:2])


def _section(title, lines):
    return [f"## {title}", "", *(f"- {line}" for line in lines), ""] if lines else []
