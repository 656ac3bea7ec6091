# SPDX-License-Identifier: Apache-2.0
"""From results to what people read: the table on a terminal, JSON, plots, and the figures in SPECIFICATION.md."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile

from bench import machines, rows, svg

TOP = machines.TOP
SPECIFICATION = TOP / "SPECIFICATION.md"
BEGIN, END = "<!-- bench/run writes from here: {} -->", "<!-- to here: {} -->"
WITH_ALL = "x86_64"  # the board of which there are plots, growth and sizes
GROWTH = {"regions": "pieces of RAM", "vdevs": "vdevs more than the platform's", "vms": "VMs started at once"}
BARS = (("boot", "The start of a Linux guest", ("exits", "user", "npf", "first", "init")),
        ("disk", "A disk", ("disk_exits", "disk_read_1", "disk_write_1", "disk_read_32", "disk_stream")),
        ("network", "A network interface, a console", ("net_exits", "net_ping", "net_send", "net_receive", "console")),
        ("exit", "An exit to user space", ("read",)))
VERDICT = {True: "met", False: "missed", None: ""}


def sizes():
    """Bytes of the stripped qvm and of the largest vdev."""
    found = {}
    for name in ("qvm", *(name for name in machines.qvm_files() if name.startswith("vdevs/"))):
        with tempfile.NamedTemporaryFile() as out:
            subprocess.run(["strip", "-o", out.name, TOP / "build" / name], check=True)
            found[name] = os.path.getsize(out.name)
    largest = max((name for name in found if name != "qvm"), key=found.get)
    return {"qvm": found["qvm"], "largest vdev": found[largest], "its name": pathlib.Path(largest).stem}


def growth_of(rounds):
    """{quantity: {what: [(number, median)]}}."""
    tables = {}
    for quantity in GROWTH:
        given = [r[quantity] for r in rounds.get("growth", ())]
        if not given:
            continue
        table = tables.setdefault(quantity, {})
        for key in given[0]:
            what, number = key.split()
            table.setdefault(what, []).append((int(number), statistics.median(g[key] for g in given)))
    return tables


UNITS = {"first": "exec to first entry, ms", "read": "a port's read, us", "start": "all running, ms"}


def table(board, results, growth, size):
    """For a terminal."""
    lines = [f"Board {board}"]
    for r in results:
        head = f"{r.row.number:<4} {r.row.what}"
        lines.append(head + (f"  [{r.verdict}]" if r.met is not None else ""))
        lines += [f"       {machine:<12} {r.text(machine)}" for machine in r.values]
        lines += [f"       qvm / {ratio.peer}: {ratio}" for ratio in r.ratios]
    if size:
        lines.append(f"T8   stripped: qvm {size['qvm']:,} bytes, largest vdev {size['largest vdev']:,} ({size['its name']})"
                     f"  [{VERDICT[size['qvm'] <= 300000 and size['largest vdev'] <= 64000]}]")
    for quantity, what in growth.items():
        for key, points in what.items():
            lines.append(f"     {GROWTH[quantity]}: {UNITS[key]}: " + ", ".join(f"{n}: {v:,.1f}" for n, v in points))
    return "\n".join(lines)


def _plots(results, growth):
    plots = {}
    for name, title, keys in BARS:
        groups = []
        for r in results:
            if r.row.key in keys and r.row.group != "pvh":
                unit = f", {r.row.unit}" if r.row.unit else ""
                better = "more is better" if r.row.up else "less is better"
                groups.append((f"{r.row.what}{unit} ({better})",
                               {m: (statistics.median(v), min(v), max(v)) for m, v in r.values.items()}))
        if groups:
            plots[name] = svg.bars(title, groups)
    for quantity, what in growth.items():
        plots[f"growth-{quantity}"] = svg.lines(f"How cost grows with {GROWTH[quantity]}", GROWTH[quantity],
                                                {UNITS[key]: points for key, points in what.items()})
    return plots


def _markdown(board, note, results, growth, size):
    lines = ["", f"Written by `bench/run --board {board}` {note}", "",
             "| | quantity | qvm | peers | qvm / peer: median (range) | target |", "|---|---|---|---|---|---|"]
    for r in results:
        others = "; ".join(f"{m} {r.text(m)}" for m in r.values if m != "qvm")
        ratios = "; ".join(f"{ratio.peer} {ratio}" for ratio in r.ratios)
        target = ""
        if r.met is not None:
            kind, limit = r.row.limit
            sign = ">=" if r.row.up else "<="
            target = f"{sign} {limit:g}" + (f" x {r.row.peers[0]}" if kind == "ratio" else "") + f": {r.verdict}"
        lines.append(f"| {r.row.number} | {r.row.what} | {r.text('qvm')} | {others} | {ratios} | {target} |")
    if size:
        lines.append(f"| T8 | stripped program; largest vdev ({size['its name']}) | {size['qvm']:,}; {size['largest vdev']:,} bytes | | | "
                     f"<= 300,000; 64,000: {VERDICT[size['qvm'] <= 300000 and size['largest vdev'] <= 64000]} |")
        lines += ["", "How cost grows (medians):", ""]
    for quantity, what in growth.items():
        for key, points in what.items():
            lines.append(f"- {GROWTH[quantity]}, {UNITS[key]}: " + ", ".join(f"{n}: {v:,.1f}" for n, v in points))
    if board == WITH_ALL:
        lines += ["", "Plots: " + ", ".join(f"[{name}](docs/figures/{name}.svg)" for name in _plots(results, growth)) + "."]
    return "\n".join(lines) + "\n\n"


def put(text, board, part):
    """The text with `part` between the board's own two marks."""
    begin, end = BEGIN.format(board), END.format(board)
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", text, re.S)
    if not found:
        raise ValueError(f"SPECIFICATION.md has no '{begin}' with '{end}' behind it")
    return text[:found.start()] + f"{begin}\n{part}{end}" + text[found.end():]


def write(found, folder, specification):
    """Results and plots into `folder`; with `specification` also into SPECIFICATION.md and docs/figures. found: {board: (rounds, how they
    were measured)}. Returns the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    saved, tables, parts = [], [], {}
    for board, (rounds, note) in found.items():
        whole = (rows.evaluate(rounds), growth_of(rounds), sizes() if board == WITH_ALL else None)
        saved.append({"board": board, "note": note, "growth": whole[1], "sizes": whole[2], "rows": [
            {"number": r.row.number, "what": r.row.what, "unit": r.row.unit, "values": r.values, "met": r.met,
             "ratios": {ratio.peer: ratio.values for ratio in r.ratios}} for r in whole[0]]})
        tables.append(table(board, *whole))
        parts[board] = _markdown(board, note, *whole)
        if board == WITH_ALL:
            for place in [folder] + ([TOP / "docs/figures"] if specification else []):
                place.mkdir(exist_ok=True)
                for name, text in _plots(*whole[:2]).items():
                    (place / f"{name}.svg").write_text(text)
    (folder / "results.json").write_text(json.dumps(saved, indent=1) + "\n")
    if specification:
        text = SPECIFICATION.read_text()
        for board, part in parts.items():
            text = put(text, board, part)
        SPECIFICATION.write_text(text)
    return "\n\n".join(tables)
