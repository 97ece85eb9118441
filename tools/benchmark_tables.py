"""Tables of the benchmarks, from the result files that `tools.results` writes."""

from collections.abc import Callable, Sequence
from typing import Any

NAMES = (
    "tower",
    "first_token",
    "preprocess",
    "prompt_memory",
    "long_video",
    "planning",
    "drawing",
    "loader",
    "training",
    "training_parts",
    "gpu",
)
PEER = "transformers"
NOT_YET = "Not measured yet: `{command}` does it.\n"

Results = dict[str, dict[str, Any]]
"""Content of the result files by name."""


HEADLINES = (
    "Vision tower, best of each side",
    "First token, 256-token image, prompt of 298",
    "Decoding, 32 tokens",
    "1024x1024 JPEG to patches",
    "Memory that a prompt of 4096 tokens adds, transformers as generate()",
    "Training on mixed sizes, micro-batches of 8",
)
"""Lines of the summary that the README shows."""


def headlines(results: Results) -> str:
    """The lines of the summary that the README shows, without limits."""
    lines = [line for name in NAMES if name in results for line in results[name]["comparisons"]]
    chosen = [line | {"limit": ""} for line in lines if line["what"] in HEADLINES]
    return table(chosen) if chosen else NOT_YET.format(command="make bench")


def summary(results: Results) -> str:
    """One table with every line that has a bound; figures of peers other than transformers are left out."""
    lines = [
        line if results[name].get("peer", PEER) == PEER else line | {"theirs": None, "ratio": None}
        for name in NAMES
        if name in results
        for line in results[name]["comparisons"]
        if line["holds"] is not None
    ]
    if not lines:
        return NOT_YET.format(command="make bench")
    machines = {describe_machine(results[name]): name for name in NAMES if name in results and name != "gpu"}
    return table(lines) + "\n" + "".join(f"Measured on {machine}.\n" for machine in machines)


def block(name: str) -> Callable[[Results], str]:
    """The function that renders the table of one result, with its notes, agreement and settings."""
    command = "python -m benchmarks.gpu.run" if name == "gpu" else f"python -m benchmarks.run --only {name}"

    def render(results: Results) -> str:
        if name not in results:
            return NOT_YET.format(command=command)
        result = results[name]
        parts = [table(result["comparisons"], result.get("peer", PEER))]
        notes = dict.fromkeys(f"{line['what']}: {line['note']}." for line in result["comparisons"] if line.get("note"))
        parts.append("".join(f"* {note}\n" for note in (*notes, *_agreements(result))))
        parts.append(
            f"Measured on {describe_machine(result)}, {result['date'][:10]}. {_describe(result['settings'])}\n"
        )
        if result["limits"]:
            parts.append(f"Limits of this machine in that run: {_describe(result['limits'])}\n")
        return "\n".join(part for part in parts if part)

    return render


def table(lines: Sequence[dict[str, Any]], peer: str = PEER) -> str:
    """A Markdown table of comparisons, without the columns that are empty in every line."""
    head = ["What", "Ours", peer, "Ratio", "Must hold (aim)", "Of the limit"]
    columns = zip(head, *map(_cells, lines), strict=True)
    rows = list(zip(*(column for column in columns if any(column[1:])), strict=True))
    rows.insert(1, ("---",) * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(line: dict[str, Any]) -> tuple[str, ...]:
    theirs = _span(line["theirs"], line["unit"]) if line["theirs"] else ""
    ratio = f"{line['ratio']:.2f}x" if line["ratio"] else ""
    share = ""
    if line.get("limit") and line["our_share"] is not None:
        share = f"{line['limit']} {line['our_share']:.0%}"
        share += f", theirs {line['their_share']:.0%}" if line["their_share"] is not None else ""
    return line["what"], _span(line["ours"], line["unit"]), theirs, ratio, describe_bound(line), share


def _span(figures: dict[str, Any], unit: str) -> str:
    """Median, and the range of the single runs."""
    low, middle, high = (_number(figures[key]) for key in ("min", "median", "max"))
    return f"{middle} {unit}".rstrip() + (f" ({low} to {high})" if len(figures["raw"]) > 1 else "")


def describe_bound(line: dict[str, Any]) -> str:
    """The floor, lower bound or upper bound of a comparison, and whether it holds; "" without one."""
    if line["holds"] is None:
        return ""
    verdict = "holds" if line["holds"] else "MISSED"
    if line["floor"] is not None:
        return f"{line['floor']:g}x ({line['aim']:g}x): {verdict}"
    if line.get("least") is not None:
        return f"at least {_number(line['least'])} {line['unit']}".rstrip() + f": {verdict}"
    return f"under {_number(line['ceiling'])} {line['unit']}".rstrip() + f": {verdict}"


def _number(value: float) -> str:
    """Three digits: such measurements are not more precise."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _agreements(result: dict[str, Any]) -> list[str]:
    """One sentence for everything that was compared before timing."""
    sentences = []
    for check in result["agreement"]["checks"]:
        figures = {k: v for k, v in check.items() if k not in ("what", "tolerance") and isinstance(v, int | float)}
        within = f" (allowed {check['tolerance']:.1g})" if "tolerance" in check else ""
        sentences.append(f"Agreement, {check['what']}: {_describe(figures) or 'yes'}{within}")
    return sentences


def describe_machine(result: dict[str, Any]) -> str:
    """The machine and the versions of a result in one line."""
    machine, versions = result["machine"], result["versions"]
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    return (
        f"{gpu}{machine['cpu']}, {machine['threads']} of {machine['cores']} cores, {machine['memory_gb']:.0f} GB, "
        f"torch {versions['torch']}, transformers {versions.get('transformers', 'absent')}, Pillow {versions['pillow']}"
    )


def _describe(values: dict[str, Any]) -> str:
    """Names and plain values in one line; nested values stay in the file."""
    plain = {key: value for key, value in values.items() if isinstance(value, int | float | str)}
    return ", ".join(
        f"{key.replace('_', ' ')} {value if isinstance(value, str | bool | int) else f'{value:.3g}'}"
        for key, value in plain.items()
    )
