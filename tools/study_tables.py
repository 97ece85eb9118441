"""Tables and findings of the studies and probes in `experiments`, from their result files.

A finding is a claim of the paper, the scores that test it, and whether it repeats. Two scores differ if their intervals do
not overlap; a claim that the scores cannot decide is called open.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from qwen2vl.evaluation.intervals import wilson_interval
from tools.benchmark_tables import NOT_YET, Results

Result = dict[str, Any]
"""Content of one result file."""
Score = Mapping[str, Any]
"""score, low, high (95 %) and n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim of the paper and what was measured here."""

    claim: str
    here: str
    supports: bool
    contradicts: bool

    @property
    def verdict(self) -> str:
        if self.contradicts:
            return "repeats in part" if self.supports else "does not repeat"
        return "repeats" if self.supports else "open, the intervals overlap"


def block(name: str) -> Callable[[Results], str]:
    """The function that renders the table, the findings and the origin of a study."""

    def render(results: Results) -> str:
        result = results.get(f"study_{name}")
        if result is None:
            return NOT_YET.format(command=f"python -m experiments.studies {name}")
        lines = "".join(f"* {each.claim}: **{each.verdict}**. {each.here}\n" for each in FINDINGS[name](result))
        return f"{_table(result)}\n{lines}\n{_origin(result)}\n"

    return render


def which_is_meant(results: Results) -> str:
    """A row for every model, a column for every number of shapes: shares of right boxes, then of boxes of another shape."""
    result = results.get("which_is_meant")
    if result is None:
        return NOT_YET.format(command="python -m experiments.which_is_meant")

    def share(hits: int, number: int) -> str:
        low, high = wilson_interval(hits, number)
        return f"{hits / number:.0%} ({low:.0%} to {high:.0%})"

    rows = [["model", "one shape", "two", "three", "four", "another's, of two to four"], ["---"] * 6]
    for model, found in result["models"].items():
        several = [counts for count, counts in found.items() if count != "1"]
        others = share(sum(each["another's"] for each in several), sum(each["boxes"] for each in several))
        rows.append([f"`{model}`", *(share(counts["right"], counts["boxes"]) for counts in found.values()), others])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _table(result: Result) -> str:
    """A row for every variant, or for every part of one; scores in per cent with their intervals."""
    titles = list(dict.fromkeys(column["title"] for column in result["columns"]))
    parts = _sources_by_part(result)
    head = ["variant", *(["asked for"] if "" not in parts else []), "visual tokens", *titles]
    rows = [head, ["---"] * len(head)]
    for part, sources in parts.items():
        for variant in result["variants"]:
            tokens = f"{fmean(variant['tokens'][source] for source in sources):.0f}"
            scores = [variant["scores"][source] for source in sources]
            cells = [f"{score['score']:.1%} ({score['low']:.1%} to {score['high']:.1%})" for score in scores]
            rows.append([variant["title"], *([part] if part else []), tokens, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _sources_by_part(result: Result) -> dict[str, list[str]]:
    """The sources of the columns of every part."""
    found: dict[str, list[str]] = {}
    for column in result["columns"]:
        found.setdefault(column["part"], []).append(column["source"])
    return found


def _find_on_resolution(result: Result) -> list[Finding]:
    fixed, titles = _scores_by_variant(result), _titles_by_source(result)
    dynamic = fixed.pop("dynamic")
    tokens = {variant["name"]: fmean(variant["tokens"].values()) for variant in result["variants"]}
    best = {source: max(fixed, key=lambda name: fixed[name][source]["score"]) for source in titles}

    def is_beaten(name: str) -> bool:
        return any(_is_over(other[source], fixed[name][source]) for other in fixed.values() for source in titles)

    def wins(name: str) -> bool:
        others = [scores for other, scores in fixed.items() if other != name]
        return all(_is_over(fixed[name][source], other[source]) for other in others for source in titles)

    unbeaten = [name for name in fixed if not is_beaten(name)]
    worse = [source for source in titles if _is_over(fixed[best[source]][source], dynamic[source])]
    better = [source for source in titles if _is_over(dynamic[source], fixed[best[source]][source])]
    some = any(_is_over(dynamic[source], scores[source]) for scores in fixed.values() for source in titles)
    each = ", ".join(f"{titles[source]}: {name} with {tokens[name]:.0f} tokens" for source, name in best.items())
    return [
        Finding(
            claim="No fixed token count is best everywhere",
            here=f"Never surely beaten by another fixed count: {', '.join(unbeaten) or 'none'}.",
            supports=not unbeaten,
            contradicts=any(map(wins, fixed)),
        ),
        Finding(
            claim="Dynamic resolution is among the best everywhere, with fewer tokens",
            here=f"With {tokens['dynamic']:.0f} tokens on average it is, against the best fixed count ({each}), "
            f"{_compare(better, worse, titles)}.",
            supports=some and not worse,
            contradicts=bool(worse),
        ),
    ]


def _find_on_rotary(result: Result) -> list[Finding]:
    scores, titles = _scores_by_variant(result), _titles_by_source(result)
    worse = [source for source in titles if _is_over(scores["1d"][source], scores["mrope"][source])]
    better = [source for source in titles if _is_over(scores["mrope"][source], scores["1d"][source])]
    gains = {source: scores["mrope"][source]["score"] - scores["1d"][source]["score"] for source in titles}
    most = max(gains, key=gains.__getitem__)
    is_video = most.partition("@")[0] in ("film_rows", "track")
    return [
        Finding(
            claim="Where M-RoPE and 1D positions differ, M-RoPE is better (in the paper on eight of ten)",
            here=f"Against 1D it is {_compare(better, worse, titles)}.",
            supports=bool(better),
            contradicts=bool(worse),
        ),
        Finding(
            claim="It gains most on videos",
            here=f"The largest gain is {100 * gains[most]:.1f} points ({titles[most]}).",
            supports=most in better and is_video,
            contradicts=most in better and not is_video,
        ),
    ]


def _find_on_length(result: Result) -> list[Finding]:
    scores = _scores_by_variant(result)
    trained = 8  # frames in the training of the variants that have this number in their name
    mrope, one_axis = (
        {part: _longest_kept(scores[name], sources) for part, sources in _sources_by_part(result).items()}
        for name in (f"mrope-{trained}", f"1d-{trained}")
    )
    learnt = [frames for frames in mrope.values() if frames]
    kept = [", ".join(f"{part} {count or 'not learnt'}" for part, count in each.items()) for each in (mrope, one_axis)]
    return [
        Finding(
            claim="A model keeps its score on videos of five times the length of training",
            here=f"Trained on videos of up to {trained} frames, it scores as on those (the intervals overlap) up to this "
            f"many frames. M-RoPE: {kept[0]}. 1D: {kept[1]}.",
            supports=any(frames >= 5 * trained for frames in learnt),
            contradicts=any(frames < 5 * trained for frames in learnt),
        )
    ]


def _longest_kept(scores: Mapping[str, Score], sources: Sequence[str]) -> int:
    """Frames of the longest videos up to which no score is surely under that of the first source.

    Sources end with their number of frames, "slides_first@8-8". 0 if the first source was not surely learnt to one half.
    """
    if scores[sources[0]]["low"] < 0.5:
        return 0
    frames = 0
    for source in sources:
        if _is_over(scores[sources[0]], scores[source]):
            break
        frames = int(source.rpartition("-")[2])
    return frames


FINDINGS: dict[str, Callable[[Result], list[Finding]]] = {
    "dynamic_resolution": _find_on_resolution,
    "mrope": _find_on_rotary,
    "length": _find_on_length,
}
"""Name of a study -> the function that judges its claims."""


def _compare(better: Sequence[str], worse: Sequence[str], titles: Mapping[str, str]) -> str:
    """List of the columns on which something is better, worse, or neither."""
    same = [source for source in titles if source not in (*better, *worse)]
    groups = (("better", better), ("worse", worse), ("without a certain difference", same))
    return "; ".join(
        f"{how} on {', '.join(titles[source] for source in sources)}" for how, sources in groups if sources
    )


def _is_over(a: Score, b: Score) -> bool:
    """Whether a is surely larger than b: their intervals do not overlap."""
    return bool(a["low"] > b["high"])


def _scores_by_variant(result: Result) -> dict[str, Mapping[str, Score]]:
    return {variant["name"]: variant["scores"] for variant in result["variants"]}


def _titles_by_source(result: Result) -> dict[str, str]:
    return {column["source"]: column["title"] for column in result["columns"]}


def _origin(result: Result) -> str:
    """Origin of the figures: seeds, items, work, machine and date."""
    runs = [run for variant in result["variants"] for run in variant["runs"]]
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(run["seed"] for run in runs))
    steps, minutes = ([run[key] for run in runs] for key in ("steps", "minutes"))
    items = next(iter(result["variants"][0]["scores"].values()))["n"]
    trial = "" if result["share"] == 1 else f" A trial with a share of {result['share']:g} of work, records and items."
    return (
        f"Mean of the seeds {seeds}; an interval spans the 95 % intervals of all of them, {items} held-out items a column. "
        f"Every run: {fmean(run['tflop'] for run in runs):.3g} TFLOP in {min(steps)} to {max(steps)} steps, "
        f"{min(minutes):.0f} to {max(minutes):.0f} minutes of one thread.{trial} Measured on {result['machine']['cpu']}, "
        f"torch {result['versions']['torch']}, {result['date'][:10]}."
    )
