"""The figures as Markdown."""

from __future__ import annotations

from benchmarks.serving.results import Results, median
from benchmarks.serving.running import LISTS, OPEN


def markdown(results: Results, ours: str) -> str:
    """The tables: throughput, latency, the fixed rate, what each takes; ratios are to `ours`."""
    parts = [
        _heading(results),
        *_quality(results),
        *_closed(results, ours),
        *_bulk(results, ours),
        *_open(results),
        *_costs(results),
        *_failures(results),
    ]
    return "\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    words = ", ".join(f"{kind} {count:.0f}" for kind, count in results.texts.items())
    return (
        f"{results.machine['cores']} cores, {results.machine['threads']} threads; mean words of a text: {words}. "
        "Medians over interleaved rounds; one text a request.\n"
    )


def _quality(results: Results) -> list[str]:
    quality = results.quality
    if quality is None:
        return []
    value, low, high = quality.difference
    return [
        f"Macro-F1 on {quality.texts} unseen texts: Champion {quality.champion:.3f}, its network alone "
        f"{quality.network:.3f}; difference {value:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}. "
        f"{quality.share_early:.1%} of the texts are answered by the first stage.",
        "",
    ]


def _bulk(results: Results, ours: str) -> list[str]:
    """Lists and files: texts a second of our servers."""
    lines = []
    if LISTS in results.scenarios():
        lines += [
            "### Lists of 200 texts, 2 clients, mixed texts",
            "",
            "| server | texts/s | Champion is … times as fast |",
            "|---|---:|---:|",
        ]
        own = results.rate_of(ours, LISTS)
        for peer in _fastest_first(results, LISTS):
            if rate := results.rate_of(peer, LISTS):
                lines.append(f"| {peer} | {rate:.0f} | {own / rate:.2f} |")
        lines.append("")
    if results.files:
        lines += [
            "### `python -m service.batch`, whole texts",
            "",
            "| bundle | texts/s | in-process | share of it | Champion is … times as fast |",
            "|---|---:|---:|---:|---:|",
        ]
        own = median(rate for peer, _, rate, _ in results.files if peer == ours)
        for peer in dict.fromkeys(peer for peer, *_ in results.files):
            rate = median(rate for name, _, rate, _ in results.files if name == peer)
            in_process = median(found for name, _, _, found in results.files if name == peer)
            lines.append(
                f"| {peer} | {rate:.0f} | {in_process:.0f} | {rate / in_process:.0%} | {own / rate:.2f} |"
            )
        lines.append("")
    return lines


def _closed(results: Results, ours: str) -> list[str]:
    lines = []
    for scenario in results.scenarios():
        if not scenario.startswith("closed-"):
            continue
        _, clients, kind = scenario.split("-")
        lines += [
            f"### {clients} client{'s' if clients != '1' else ''}, {kind} texts",
            "",
            "| server | requests/s | p50 ms | p95 ms | p99 ms | failed | Champion is … times as fast |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        own = results.rate_of(ours, scenario)
        for peer in _fastest_first(results, scenario):
            found = results.of(peer, scenario)
            if not found:  # early answers: the cascade alone
                continue
            rate = results.rate_of(peer, scenario)
            ratio = f"{own / rate:.2f}" if rate and peer != ours else "–"
            cells = [
                peer,
                f"{rate:.1f}",
                *(f"{median(getattr(item, name) for item in found):.0f}" for name in ("p50", "p95", "p99")),
                str(sum(item.failed for item in found)),
                ratio,
            ]
            lines.append(f"| {' | '.join(cells)} |")
        if ceiling := results.ceiling(kind):
            call = f"{results.call(kind):.0f}" if clients == "1" else "–"
            lines.append(
                f"| *the classifier in-process* | {ceiling:.1f} | {call} | – | – | – | {own / ceiling:.2f} |"
            )
        lines.append("")
    return lines


def _open(results: Results) -> list[str]:
    if OPEN not in results.scenarios():
        return []
    lines = [
        f"### {results.rate:.1f} requests a second at random moments, mixed texts",
        "",
        "| server | p50 ms | p95 ms | p99 ms | failed |",
        "|---|---:|---:|---:|---:|",
    ]
    for peer in results.peers():
        found = results.of(peer, OPEN)
        if found:
            cells = [f"{median(getattr(item, name) for item in found):.0f}" for name in ("p50", "p95", "p99")]
            lines.append(f"| {peer} | {' | '.join(cells)} | {sum(item.failed for item in found)} |")
    return [*lines, ""]


def _costs(results: Results) -> list[str]:
    lines = [
        "### What each takes",
        "",
        "| server | start s | memory MB | padding | same labels |",
        "|---|---:|---:|---:|---:|",
    ]
    for peer in results.peers():
        starts = [item for item in results.starts if item.peer == peer]
        paddings = [item.padding for item in starts if item.padding is not None]
        padding = f"{median(paddings):.0%}" if paddings else "–"
        lines.append(
            f"| {peer} | {median(item.seconds for item in starts):.1f} | "
            f"{median(item.megabytes for item in starts):.0f} | {padding} | "
            f"{median(item.agreement for item in starts):.0%} |"
        )
    return [*lines, ""]


def _failures(results: Results) -> list[str]:
    return [f"{peer} did not take part: {why}" for peer, why in results.failures.items()]


def _fastest_first(results: Results, scenario: str) -> list[str]:
    return sorted(results.peers(), key=lambda peer: -results.rate_of(peer, scenario))
