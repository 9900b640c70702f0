"""A benchmark's results as tables, each figure beside the others' and the machine's own limit."""

from frcnn.benchmarks.growth import WORDS
from frcnn.benchmarks.measure import TOO_LARGE
from frcnn.benchmarks.rounds import Timing


def as_markdown(found):
    """The first lines name machine, threads and versions; then exponents of growth, and a table a case and mode."""
    parts = [_head(found), *([_exponents(found["growth"])] if "growth" in found else [])]
    rows = found["rows"]
    for place in dict.fromkeys((row["case"]["name"], row["mode"]) for row in rows):
        own = [row for row in rows if (row["case"]["name"], row["mode"]) == place]
        parts.append(f"## {place[0]}, {place[1]}\n\n{_sizes(own[0])}\n\n{_table(own, found['copy_bytes_a_second'])}")
    return "\n\n".join(parts) + "\n"


def _head(found):
    machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found["machine"].items())
    versions = [
        f"{library}: " + ", ".join(f"{name} {version}" for name, version in names.items())
        for library, names in found["versions"].items()
    ]
    taking = "the cases take turns"
    if not found.get("cases_in_turn"):
        alone = f"where results have {TOO_LARGE / 1e9:.1f} GB or more, one comes after the other"
        taking = f"the libraries take turns ({alone})"
    lines = [
        f"machine: {machine}",
        f"device: {found.get('device', 'cpu')}; threads: {found['threads']}; "
        f"rounds: {found['rounds']}, in which {taking}; commit: {found['commit'] or 'unknown'}",
        f"copy bandwidth, bytes read and written: {found['copy_bytes_a_second'] / 1e9:.1f} GB/s",
        *([f"processes that wanted to run when it began: {found['load']:.2f}"] if "load" in found else []),
        *versions,
    ]
    return f"# {found['benchmark']}, {found['started']}\n\n" + "\n".join(f"- {line}" for line in lines)


def _exponents(growth):
    from tabulate import tabulate

    lines = [
        [WORDS[one["axis"]], one["from"], one["to"], one["library"], one["mode"]]
        + [f"{one[which]:.2f}" if which in one else "-" for which in ("exponent", "first", "last")]
        for one in growth
    ]
    headings = [
        "what grows",
        "from",
        "to",
        "library",
        "mode",
        "exponent of the time",
        "of the first two",
        "of the last two",
    ]
    text = tabulate(lines, headings, tablefmt="pipe", disable_numparse=True)
    return f"## How the time grows\n\n{text}"


def _sizes(row):
    case = row["case"]
    sizes = ", ".join(f"{name} = {value}" for name, value in case.items() if name != "name")
    moved = f"; {row['bytes'] / 1e6:.1f} MB if each array goes through memory once" if row["bytes"] else ""
    return f"{sizes}; float32{moved}."


def share(part):
    """In per cent, and 100 of the whole alone."""
    return "100 %" if part == 1 else f"{min(100 * part, 99.99):.2f} %"


def _table(rows, copied):
    from tabulate import tabulate

    timed = [(Timing(row["seconds"]), row) for row in rows if row["seconds"]]
    timed.sort(key=lambda pair: pair[0].median)
    lines = []
    for timing, row in timed:
        rate = row["bytes"] and row["bytes"] / timing.median
        lines.append(
            [
                row["library"],
                f"{1e3 * timing.median:.3g}",
                f"{100 * timing.spread:.0f} %" if len(timing.seconds) > 1 else "-",
                f"{timing.median / timed[0][0].median:.2f}",
                f"{rate / 1e9:.2f}" if rate else "-",
                f"{100 * rate / copied:.0f} %" if rate else "-",
                "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}",
                "-" if row["agrees"] is None else share(row["agrees"]),
            ]
        )
    headings = ["library", "ms", "spread", "times the fastest", "GB/s", "of the copy", "peak MB", "agrees"]
    text = tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=["left"] + ["right"] * 7)
    lacking = [f"- {row['library']}: {row['lacks']}" for row in rows if row["lacks"]]
    return "\n".join([text, *([""] if lacking else []), *lacking])
