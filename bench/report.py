# SPDX-License-Identifier: GPL-2.0
"""The page that shows what bench/compare has measured: one file that needs nothing else, plots by gnuplot inside."""

import html
import re
import subprocess
from string import Template

from guests import Error
from judge import BACKEND, BASELINE, SLOTS

COLOURS = ("#d97706", "#3b82f6", "#16a34a", "#a855f7")      # to be read on white and on black

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --dim: #777; --good: #15803d; --bad: #dc2626 }
@media (prefers-color-scheme: dark) { :root { --dim: #999; --good: #4ade80; --bad: #f87171 } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem }
h2 { font-size: 1.25rem; margin: 3rem 0 .5rem }
p { max-width: 48rem; margin: .5rem 0 }
.dim, figcaption, dt { color: var(--dim); font-size: .9rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; margin: 1.5rem 0; padding: 0 }
.cards > div { border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; background: var(--soft) }
.cards b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; line-height: 1.3 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem }
figure { margin: 0; border: 1px solid var(--line); border-radius: .6rem; padding: .75rem }
figure svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto; margin: .75rem 0 }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--dim); font-weight: 600; border-bottom-width: 2px; white-space: normal; vertical-align: bottom }
tbody tr:hover { background: var(--soft) }
.word { text-align: left }
.ok { color: var(--good) }
.missed { color: var(--bad); font-weight: 700 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 1rem 0 }
dd { margin: 0; font-size: .9rem }
""".strip()

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>MADV_RECLAIM_PT: benchmark</title>
<style>
$style
</style>
</head>
<body>
$body
</body>
</html>
""")


def text(value):
    return html.escape(f"{value:,}" if isinstance(value, int) else str(value))


def verdict_class(cell):
    word = str(cell)
    return "missed" if word.startswith("MISSED") else "ok" if word.startswith(("ok", "beyond")) else ""


def table(head, rows, left=(0,)):
    """As guests.table() prints it."""
    def line(tag, cells):
        marked = []
        for i, cell in enumerate(cells):
            names = " ".join(filter(None, ("word" if i in left else "", verdict_class(cell) if tag == "td" else "")))
            marked.append(f'<{tag} class="{names}">{text(cell)}</{tag}>' if names else f"<{tag}>{text(cell)}</{tag}>")
        return f"<tr>{''.join(marked)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table>\n<thead>{line("th", head)}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def gnuplot(name, settings, curves):
    """SVG of CURVES, (title, colour, [(x, y)]); its text has the colour of the page's. NAME makes its ids its own."""
    script = ['set terminal svg size 620,340 dynamic font "system-ui,sans-serif,13"', "set border 3 lw 0.5",
              "set tics nomirror out scale 0.5", "set grid lw 0.5", "set key top left reverse Left noenhanced", *settings]
    for i, (_, _, points) in enumerate(curves):
        script += [f"$curve{i} << END", *(f"{x} {y}" for x, y in points), "END"]
    script.append("plot " + ", ".join(f'$curve{i} with linespoints lw 2 pt 6 ps 0.35 lc rgb "{colour}" title "{title}"'
                                      for i, (title, colour, _) in enumerate(curves)))
    done = subprocess.run(["gnuplot"], input="\n".join(script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode or "</svg>" not in done.stdout:
        raise Error(f"gnuplot cannot draw {name}: {done.stderr.strip()}")
    return tame(name, done.stdout[done.stdout.index("<svg"):])


def tame(name, svg):
    """To be one of several in a page: ids of its own, and black is the colour of the page's text."""
    svg = re.sub(r"<title>Gnuplot</title>|<desc>.*?</desc>", "", svg, flags=re.S)
    svg = re.sub(r"\bid=(['\"])", rf"id=\g<1>{name}-", svg)
    svg = re.sub(r"href='#", f"href='#{name}-", svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"=(['\"])black\1", '="currentColor"', svg)
    svg = re.sub(r"=(['\"])gr[ae]y\1", '="#8888"', svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)


def figure(caption, svg):
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def colours(names):
    return dict(zip(names, COLOURS))


def kernel_name(flavour, results):
    """6.12.117 unpatched, and so on."""
    plain = flavour.rpartition("/")[2]
    what = {"baseline": "unpatched", "backend": "backend alone"}.get(plain, "ours" if plain == results["ours"] else plain)
    return f"{results.get('kernels', {}).get(flavour, flavour.rpartition('/')[0])} {what}".strip()


def over_time(results):
    series = results.get("series")
    if not series:
        return ""
    colour = colours(series)
    plots = []
    for name, caption in (("fifty-gib", "50 GiB, touched and MADV_DONTNEEDed 2 MiB by 2 MiB; at the end MADV_RECLAIM_PT."),
                          ("redis", "Redis: filled, FLUSHALL, MEMORY PURGE; at the end MADV_RECLAIM_PT from another process.")):
        curves = [(kernel_name(flavour, results), colour[flavour], [(ms / 1000, kb / 1024) for ms, kb in found[name]])
                  for flavour, found in series.items()]
        plots.append(figure(caption, gnuplot(f"time-{name}", ['set xlabel "seconds of the guest"', 'set ylabel "VmPTE, MiB"',
                                                             "set yrange [0:*]", "set offsets graph 0, 0, 0.25, 0"], curves)))
    keys = next(iter(series.values()))["keys"]
    rows = [(name, kernel_name(flavour, results), points[0][1], max(kb for _, kb in points), points[-1][1])
            for name in ("fifty-gib", "redis") for flavour, found in series.items() for points in [found[name]]]
    return f"""<h2>Page tables of a process over time</h2>
<p>Redis has {text(keys)} keys, and the same after a refill. The emulator makes seconds long: the shape counts.</p>
<div class="plots">{''.join(plots)}</div>
{table(("VmPTE, kB", "kernel", "start", "most", "end"), rows, left=(0, 1))}"""


def cost_table(results):
    costs = results.get("costs")
    if not costs:
        return ""
    ours, rows = results["ours"], []
    for name, base in costs[BASELINE].items():
        mine, target = costs[ours][name], results["targets"][name]
        ratio = f"{mine / base:.3f}" if isinstance(base, int) and isinstance(mine, int) and "_deferred_" not in name else ""
        limit = f"{target['limit']:,.0f}" if target["limit"] else ""
        rows.append((name, *("–" if costs[flavour][name] == "unsupported" else costs[flavour][name] for flavour in costs), ratio,
                     target["target"], limit, target["verdict"]))
    head = ("row", *(kernel_name(flavour, results) for flavour in costs), "ours / unpatched", "target", "at most", "verdict")
    last = len(head) - 1
    return f"""<h2>Instructions</h2>
<p>Of a guest that counts them, with one processor. <i>call</i>: the system call alone, for each table. <i>cycle</i>: whole
loops, with what RCU does later. <i>deferred</i>: what is left to do for each table when the call has ended, and how long it takes
until PageTables has dropped. A target counts as missed when it is missed by more than 2&nbsp;%.</p>
{table(head, rows, left=(0, last - 2, last))}"""


def in_all(results):
    """The call and what it leaves to RCU, together."""
    costs = results.get("costs")
    if not costs:
        return ""
    rows = []
    for what, call, word in (("munmap", "munmap_8192_emptied_call", "munmap"),
                             ("MADV_RECLAIM_PT", "reclaim_once_empty_call", "reclaim")):
        for flavour, figures in costs.items():
            if flavour != BACKEND and isinstance(figures[call], int):
                work, later = figures[f"{word}_deferred_work"], figures[f"{word}_deferred_time"]
                rows.append((what, kernel_name(flavour, results), figures[call], work, figures[call] + work,
                             f"{later / 1e6:.1f}"))
    return f"""<h2>An empty table, freed</h2>
<p>8,192 of them by one call. munmap is what an unpatched kernel has for it, and takes the address space away.</p>
{table(("by", "kernel", "call", "deferred", "in all", "ms until PageTables has dropped"), rows, left=(0, 1))}"""


def scale(results):
    found = results.get("scale")
    if not found:
        return ""
    base, ours = COLOURS[:2]
    log = ["set logscale xy", 'set format y "10^{%L}"', 'set ylabel "instructions of a call"']
    calls = [("munmap, unpatched", base, found["munmap_tables"].items()),
             ("MADV_RECLAIM_PT", ours, found["reclaim_tables"].items())]
    plots = [
        figure("Against the number of empty PTE tables.",
               gnuplot("scale-tables", [*log, 'set xlabel "PTE tables"', 'set format x "%.0s%c"'], calls)),
        figure("Against the number of PMD tables that hold no PTE table.",
               gnuplot("scale-pmd", [*log, 'set xlabel "PMD tables"', 'set format x "%.0s%c"'],
                       [("MADV_RECLAIM_PT", ours, found["reclaim_pmd_tables"].items())])),
        figure("512 empty tables, and ever more address space that was never touched.",
               gnuplot("scale-span", ["set logscale x", 'set ylabel "thousand instructions of a call"', 'set xlabel "GiB"',
                                      "set yrange [0:*]", "set offsets graph 0, 0, 0.25, 0", "set key bottom"],
                       [("MADV_RECLAIM_PT", ours, [(x, y / 1000) for x, y in found["reclaim_span_gib"].items()])])),
    ]
    rows = [(series, f"{min(points):,} .. {max(points):,}", points[min(points)], points[max(points)],
             f"{growth['exponent']:.4f}", f"{growth['worst']:.1%}", growth["verdict"])
            for series, points in found.items() for growth in [results["growth"][series]]]
    return f"""<h2>Scale</h2>
<p>Linear in PTE and PMD tables, flat in address space never touched. The cost is fitted as size to the power of an exponent,
which has to be 1, 1 and 0 to within 0.02, and no point may be farther than 10&nbsp;% from the curve.</p>
<div class="plots">{''.join(plots)}</div>
{table(("series", "sizes", "first", "last", "exponent", "off, at most", "verdict"), rows, left=(0, 1, 6))}"""


def refault(results):
    costs, faults, ours = results.get("costs"), results.get("faults"), results["ours"]
    parts = []
    if costs:
        rows = []
        for what, kept, gone in (("one page for each table", "refault_cycle", "reclaim_refault_cycle"),
                                 ("512 pages, the table is full", "refault_full_cycle", "reclaim_refault_full_cycle")):
            with_it, without = costs[ours][gone], costs[ours][kept]
            rows.append((what, without, with_it, f"{with_it - without:+,}", f"{with_it / without - 1:+.1%}"))
        parts.append(table(("emptied and touched again, instructions for each table", "without", "with reclaim", "more", ""),
                           rows))
    if faults and "rss_growth_reclaimed_kb" in faults.get(ours, {}):
        found = faults[ours]
        parts.append(table(("growth of RSS by the next touch of 2 MiB, kB", "table kept", "table reclaimed"),
                           [("transparent huge pages always", found["rss_growth_kept_kb"], found["rss_growth_reclaimed_kb"])]))
    return "\n".join(["<h2>Reclaimed too early</h2>", "<p>What it costs to need a table again.</p>", *parts]) if parts else ""


def beside(results):
    faults, held = results.get("faults"), results.get("held")
    parts = []
    if faults:
        rows = [(kernel_name(flavour, results), what, f"{found[key] / found['faults_alone']:.2f}")
                for flavour, found in faults.items()
                for what, key in (("MADV_RECLAIM_PT", "faults_beside_reclaim"), ("munmap and mmap", "faults_beside_munmap"))
                if key in found]
        parts.append(table(("page faults of a thread beside", "endless", "of what it does alone"), rows, left=(0, 1)))
    if held:
        parts.append(table(("mmap_lock once a writer waits", "calls", "waits", "given up after", "writer had it after", "limit",
                            "verdict"), held, left=(0, 6)))
    return "\n".join(["<h2>Beside others</h2>", "<p>Two processors; a median of five, and no target. mmap_lock is counted in PMD "
                      f"slots, of which there may be {SLOTS}.</p>", *parts]) if parts else ""


def profiles(results):
    found = results.get("profiles")
    if not found:
        return ""
    parts = ["<h2>Where the instructions go</h2>", "<p>By function, for each table, of rows that miss their target.</p>"]
    for name, functions in found.items():
        rows = [(function, f"{count:,.1f}") for function, count in functions]
        parts += [f"<h3>{text(name)}</h3>", table(("function", "instructions"), rows)]
    return "\n".join(parts)


def cards(results):
    costs, ours, found = results.get("costs"), results["ours"], []
    if "series" in results:
        ends = [results["series"][flavour]["fifty-gib"][-1][1] for flavour in (BASELINE, ours)]
        found.append((f"{ends[0] / 1024:.1f} → {ends[1] / 1024:.1f} MiB", "page tables after 50 GiB were touched and given back"))
    if costs:
        call, munmap = costs[ours]["reclaim_once_empty_call"], costs[BASELINE]["munmap_8192_emptied_call"]
        found.append((f"{call:,}", f"instructions free an empty table; munmap takes {munmap:,} on the unpatched kernel"))
        fork = costs[ours]["fork_exit_cycle"] / costs[BASELINE]["fork_exit_cycle"] - 1
        found.append((f"{fork:+.1%}", "fork + exit, for who does not use it"))
    if "scale" in results:
        points = results["scale"]["reclaim_tables"]
        found.append((f"{max(points) / min(points):,.0f} × tables, {points[max(points)] / points[min(points)]:,.0f} × cost",
                      f"from {min(points):,} tables to {max(points):,}"))
    inside = "".join(f"<div><b>{text(what)}</b><span class=dim>{text(why)}</span></div>" for what, why in found)
    return f'<div class="cards">{inside}</div>'


def head(results):
    machine, missed = results["machine"], results["missed"]
    facts = {
        "commit": results["commit"],
        "measured": f"{results['measured']}, in {results['seconds']} s",
        "kernels": ", ".join(kernel_name(flavour, results) for flavour in results.get("kernels", {})) or "–",
        "machine": f"{machine['processors']} × {machine['processor']}, {machine['memory_gib']} GiB",
        "emulator": machine["emulator"],
    }
    said = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts.items())
    verdict = '<p class="ok">Every target is met.</p>' if not missed else (
        '<p class="missed">Targets missed:</p><ul>' + "".join(f"<li>{text(what)}</li>" for what in missed) + "</ul>")
    return (f"<h1>MADV_RECLAIM_PT</h1>\n<p class=dim>What it gives back, and what that costs.</p>\n{cards(results)}\n{verdict}\n"
            f"<dl>{said}</dl>")


def page(results):
    parts = (head, over_time, in_all, cost_table, scale, refault, beside, profiles)
    # JSON turns the sizes of the curves into text.
    results = {**results, "scale": {series: {int(size): cost for size, cost in points.items()}
                                    for series, points in results.get("scale", {}).items()}}
    results = {name: value for name, value in results.items() if value != {}}
    results.setdefault("missed", [])
    return PAGE.substitute(style=STYLE, body="\n".join(filter(None, (part(results) for part in parts))))
