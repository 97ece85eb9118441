"""Tables and findings of the studies, from their result files: the paper's tables in shape, with intervals.

A finding is a claim of the paper, what the scores say to it, and whether it repeats: two scores differ where their
intervals do not overlap, and what they cannot decide is said to be open.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.study_recipes import LENGTHS, STUDIES, TRAINED_FRAMES, VIDEO_TASKS

NOT_YET = "Not measured yet: `python -m experiments.studies {name}` does it.\n"
LEARNT = 0.5
"""What the shortest videos must surely reach before longer ones are held against them."""

Result = dict[str, Any]
Score = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim of the paper beside what was measured here."""

    claim: str
    here: str
    supports: bool
    contradicts: bool

    @property
    def verdict(self) -> str:
        if self.contradicts:
            return "repeats in part" if self.supports else "does not repeat"
        return "repeats" if self.supports else "open, the intervals overlap"


def block(name: str) -> Callable[[dict[str, Result]], str]:
    """What fills the block of a study in a page."""

    def render(results: dict[str, Result]) -> str:
        result = results.get(f"study_{name}")
        if result is None:
            return NOT_YET.format(name=name)
        lines = "".join(f"* {each.claim}: **{each.verdict}**. {each.here}\n" for each in FINDINGS[name](result))
        return f"{table(result)}\n{lines}\n{made(result)}\n"

    return render


def table(result: Result) -> str:
    """A row for every variant, or for every part of one; scores in per cent with their intervals."""
    titles = list(dict.fromkeys(column["title"] for column in result["columns"]))
    parts = parts_of(result)
    head = ["variant", *(["asked for"] if "" not in parts else []), "visual tokens", *titles]
    rows = [head, ["---"] * len(head)]
    for part, sources in parts.items():
        for variant in result["variants"]:
            tokens = f"{mean([variant['tokens'][source] for source in sources]):.0f}"
            cells = [shown(variant["scores"][source]) for source in sources]
            rows.append([variant["title"], *([part] if part else []), tokens, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def shown(score: Score) -> str:
    return f"{score['score']:.1%} ({score['low']:.1%} to {score['high']:.1%})"


def parts_of(result: Result) -> dict[str, list[str]]:
    """Part to the sources of its columns."""
    found: dict[str, list[str]] = {}
    for column in result["columns"]:
        found.setdefault(column["part"], []).append(column["source"])
    return found


def dynamic_resolution(result: Result) -> list[Finding]:
    fixed, titles = scores_of(result), titles_of(result)
    dynamic = fixed.pop("dynamic")
    tokens = {variant["name"]: mean(list(variant["tokens"].values())) for variant in result["variants"]}
    best = {source: max(fixed, key=lambda name: fixed[name][source]["score"]) for source in titles}

    def is_beaten(name: str) -> bool:
        return any(over(other[source], fixed[name][source]) for other in fixed.values() for source in titles)

    def wins(name: str) -> bool:
        others = [scores for other, scores in fixed.items() if other != name]
        return all(over(fixed[name][source], other[source]) for other in others for source in titles)

    unbeaten = [name for name in fixed if not is_beaten(name)]
    worse = [source for source in titles if over(fixed[best[source]][source], dynamic[source])]
    better = [source for source in titles if over(dynamic[source], fixed[best[source]][source])]
    some = any(over(dynamic[source], scores[source]) for scores in fixed.values() for source in titles)
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
            f"{compared(better, worse, titles)}.",
            supports=some and not worse,
            contradicts=bool(worse),
        ),
    ]


def mrope(result: Result) -> list[Finding]:
    scores, titles = scores_of(result), titles_of(result)
    worse = [source for source in titles if over(scores["1d"][source], scores["mrope"][source])]
    better = [source for source in titles if over(scores["mrope"][source], scores["1d"][source])]
    gains = {source: scores["mrope"][source]["score"] - scores["1d"][source]["score"] for source in titles}
    most = max(gains, key=gains.__getitem__)
    is_video = most.partition("@")[0] in VIDEO_TASKS
    return [
        Finding(
            claim="Where M-RoPE and 1D positions differ, M-RoPE is better (in the paper on eight of ten)",
            here=f"Against 1D it is {compared(better, worse, titles)}.",
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


def length(result: Result) -> list[Finding]:
    scores = scores_of(result)
    mrope, one_axis = (
        {part: kept_until([scores[name][source] for source in sources]) for part, sources in parts_of(result).items()}
        for name in ("mrope-8", "1d-8")
    )
    longest = {part: frames for part, frames in mrope.items() if frames}
    return [
        Finding(
            claim="A model keeps its score on videos of five times the length of training",
            here=f"Trained on videos of up to {TRAINED_FRAMES} frames, it scores as on those (the intervals overlap) up to this "
            f"many frames. M-RoPE: {listed(mrope)}. 1D: {listed(one_axis)}.",
            supports=any(frames >= 5 * TRAINED_FRAMES for frames in longest.values()),
            contradicts=any(frames < 5 * TRAINED_FRAMES for frames in longest.values()),
        )
    ]


FINDINGS: dict[str, Callable[[Result], list[Finding]]] = {
    "dynamic_resolution": dynamic_resolution,
    "mrope": mrope,
    "length": length,
}


def kept_until(scores: Sequence[Score]) -> int:
    """Frames of the longest videos up to which no score lies surely under that of the first column; 0 if that was not learnt."""
    if scores[0]["low"] < LEARNT:
        return 0
    lost = (place for place, score in enumerate(scores) if over(scores[0], score))
    return LENGTHS[next(lost, len(scores)) - 1]


def listed(frames: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {count or 'not learnt'}" for part, count in frames.items())


def compared(better: Sequence[str], worse: Sequence[str], titles: Mapping[str, str]) -> str:
    """On which columns something is better, worse, or neither, in words."""
    same = [source for source in titles if source not in (*better, *worse)]
    told = (("better", better), ("worse", worse), ("not to be told apart", same))
    return "; ".join(f"{how} on {', '.join(titles[source] for source in sources)}" for how, sources in told if sources)


def over(a: Score, b: Score) -> bool:
    """Whether a lies surely over b: their intervals do not overlap."""
    return bool(a["low"] > b["high"])


def scores_of(result: Result) -> dict[str, Mapping[str, Score]]:
    """Variant to its scores by source."""
    return {variant["name"]: variant["scores"] for variant in result["variants"]}


def titles_of(result: Result) -> dict[str, str]:
    return {column["source"]: column["title"] for column in result["columns"]}


def made(result: Result) -> str:
    """How the figures came about."""
    runs = [run for variant in result["variants"] for run in variant["runs"]]
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(run["seed"] for run in runs))
    steps, minutes = ([run[key] for run in runs] for key in ("steps", "minutes"))
    items = next(iter(result["variants"][0]["scores"].values()))["n"]
    trial = "" if result["share"] == 1 else f" A trial with a share of {result['share']:g} of work, records and items."
    return (
        f"Mean of the seeds {seeds}; an interval spans the 95 % intervals of all of them, {items} held-out items a column. "
        f"Every run: {mean([run['tflop'] for run in runs]):.3g} TFLOP in {min(steps)} to {max(steps)} steps, "
        f"{min(minutes):.0f} to {max(minutes):.0f} minutes of one thread.{trial} Measured on {result['machine']['cpu']}, "
        f"torch {result['versions']['torch']}, {result['date'][:10]}."
    )


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


BLOCKS = {f"study_{name}": block(name) for name in STUDIES}
