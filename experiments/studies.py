"""The paper's ablations at a small size: `python -m experiments.studies dynamic_resolution|mrope|length`.

    runs/study_NAME/records, store      drawn and built once, for all variants
    runs/study_NAME/VARIANT-SEED/       an ordinary run; scores.json is written last
    benchmarks/results/study_NAME.json  all scores with their intervals; `make tables` puts them into docs/studies.md

Every run is a process with one thread; one run for each core is in progress at a time. The same command again resumes.
`--share 0.05` is a short trial in separate folders.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from drawn_world.slides import is_slides, write_slides
from drawn_world.write_records import draw_records
from experiments.study_items import ask
from experiments.study_recipes import STUDIES, Study, forecast_run, study_run
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.common.files import write_atomically
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.evaluation.intervals import interval_of
from qwen2vl.inference import Chat
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.export import export_run
from qwen2vl.training.run import train_run
from qwen2vl.training.run_directory import read_metrics
from qwen2vl.training.run_spec import RunSpec
from tools import study_tables
from tools.results import RESULTS, describe_machine, versions
from tools.script import say

FEWEST_RECORDS = 200
"""Least number of records of a source, however small the share."""
STOPPED = 130
"""Exit code of a command that the same command resumes."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    study, folder = STUDIES[options.study], folder_of(options)
    try:
        if options.only:
            return train_and_ask(study, options.only, folder, options)
        draw_and_build(study, folder, options)
        code = run_all(study, folder, options)
    except Qwen2VLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        code = STOPPED
    if code:
        print("stopped; the same command again resumes", file=sys.stderr)
        return code
    result = gather(study, folder, options)
    path = options.out / f"study_{study.name}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    say(f"{study_tables.block(study.name)({result['name']: result})}\nwritten to {path}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Repeat an ablation of the paper at nano's size.")
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--share", type=float, default=1.0, help="share of work, records and items, for trials")
    parser.add_argument(
        "--jobs", type=int, default=None, help="number of runs at a time (all cores); 0 = in this process"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of records and runs (runs)")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder of the result (benchmarks/results; of a trial, its runs)"
    )
    parser.add_argument("--only", metavar="VARIANT-SEED", help="train and ask only this run, in this process")
    parser.add_argument("--parent", type=int, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not 0 < options.share <= 1:
        parser.error(f"--share is {options.share}: it must be over 0 and at most 1")
    known = names_of(STUDIES[options.study])
    if options.only and options.only not in known:
        parser.error(f"--only is {options.only}: the runs are {', '.join(known)}")
    options.jobs = len(os.sched_getaffinity(0)) if options.jobs is None else options.jobs
    options.out = options.out or (RESULTS if options.share == 1 else folder_of(options))
    return options


def folder_of(options: argparse.Namespace) -> Path:
    trial = "" if options.share == 1 else f"-{options.share:g}"
    return Path(options.runs) / f"study_{options.study}{trial}"


def names_of(study: Study) -> list[str]:
    """Names of all runs: all variants with the first seed, then all with the second."""
    return [f"{variant.name}-{seed}" for seed in study.seeds for variant in study.variants]


def spec_of(study: Study, name: str, folder: Path, share: float) -> RunSpec:
    variant, _, seed = name.rpartition("-")
    return study_run(study, study.variant(variant), folder / "store", folder / name, share=share, seed=int(seed))


def draw_and_build(study: Study, folder: Path, options: argparse.Namespace) -> None:
    """Draw the records and build the store that all variants read. Finished parts are skipped."""
    counts = {source: max(FEWEST_RECORDS, round(count * options.share)) for source, count in study.records.items()}
    out, workers = folder / "records", max(1, options.jobs)
    say(f"{study.title}: {sum(counts.values())} records of {len(counts)} sources in {out}")
    drawn = {source: count for source, count in counts.items() if not is_slides(source)}
    if drawn:
        draw_records(out, drawn, num_workers=workers)
    for source in counts.keys() - drawn.keys():
        write_slides(out, source, counts[source])
    settings = BuildSettings(
        store=folder / "store", tokenizer=nano_processor().tokenizer, media_root=None, media=MediaSettings()
    )
    build(sorted(out.glob("*.jsonl")), settings, num_workers=workers)


def run_all(study: Study, folder: Path, options: argparse.Namespace) -> int:
    """Train and ask every run without scores; returns 0 if all have scores. Raises KeyboardInterrupt when stopped."""
    waiting = [name for name in names_of(study) if not scores_file(folder, name).exists()]
    say(f"{len(names_of(study))} runs, {len(waiting)} of them to do")
    if not options.jobs:
        return next((code for name in waiting if (code := train_and_ask(study, name, folder, options))), 0)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, so that the runs are stopped too
    running: list[subprocess.Popen[bytes]] = []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                running.append(start(waiting.pop(0), options))
            time.sleep(0.2)
            if code := next((child.returncode for child in running if child.poll()), 0):
                return code
            running = [child for child in running if child.returncode is None]
        return 0
    finally:
        for child in running:
            child.terminate()
        for child in running:
            child.wait()


def start(name: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start one run in a process with one thread: the operations of a small model are too short for more."""
    command = [sys.executable, "-m", "experiments.studies", options.study, "--only", name]
    command += ["--share", str(options.share), "--runs", str(options.runs), "--parent", str(os.getpid())]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})


def train_and_ask(study: Study, name: str, folder: Path, options: argparse.Namespace) -> int:
    """Train a run or resume it, ask it the items of all columns, and write its scores."""
    spec, run_dir = spec_of(study, name, folder, options.share), folder / name
    planned = forecast_run(spec, run_dir)
    done = train_run(spec, run_dir, progress_of(name, options.parent), num_workers=0).steps
    if done < planned.steps:
        return STOPPED
    if not (run_dir / "export").exists():
        export_run(run_dir, run_dir / "export")
    chat, count = Chat(run_dir / "export"), max(1, round(400 * options.share))
    asked = {column.source: ask(chat, column.source, count) for column in study.columns}
    lines = [line for line in read_metrics(run_dir / "metrics.jsonl") if "step_s" in line]
    facts = {
        "seed": spec.train.seed,
        "steps": done,
        "samples": sum(line["samples"] for line in lines),
        "tflop": round(planned.flops / 1e12, 3),
        "minutes": round(sum(line["step_s"] for line in lines) / 60, 2),
        "final_loss": lines[-1]["loss"],
    }
    shares = {source: [round(share, 4) for share in shares] for source, (shares, _) in asked.items()}
    tokens = {source: sum(tokens) / len(tokens) for source, (_, tokens) in asked.items()}
    write_atomically(scores_file(folder, name), json.dumps({"run": facts, "shares": shares, "tokens": tokens}) + "\n")
    return 0


def scores_file(folder: Path, name: str) -> Path:
    return folder / name / "scores.json"


def progress_of(name: str, parent: int | None) -> Callable[[dict[str, Any]], None]:
    """A function that prints every 50th step, and stops the run, which is saved, if its parent process no longer exists."""

    def on_step(line: dict[str, Any]) -> None:
        if line["step"] % 50 == 0 or line["step"] == line["steps"]:
            right = f"tokens right {line['token_accuracy']:.1%}"
            say(
                f"{name}: step {line['step']}/{line['steps']}, loss {line['loss']:.3f}, {right}, {line['step_s']:.1f} s a step"
            )
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_step


def gather(study: Study, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The result of all runs, in the form that the tables read."""
    found = {name: json.loads(scores_file(folder, name).read_text()) for name in names_of(study)}
    variants = []
    for variant in study.variants:
        of_seeds = [found[f"{variant.name}-{seed}"] for seed in study.seeds]
        variants.append({
            "name": variant.name,
            "title": variant.title,
            "tokens": of_seeds[0]["tokens"],
            "runs": [one["run"] for one in of_seeds],
            "scores": {
                column.source: score_of_seeds([one["shares"][column.source] for one in of_seeds]) for column in study.columns
            },
        })  # fmt: skip
    return {
        "name": f"study_{study.name}",
        "title": study.title,
        "share": options.share,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(torch.get_num_threads() if not options.jobs else 1),
        "versions": versions(),
        "columns": [{"source": each.source, "title": each.title, "part": each.part} for each in study.columns],
        "variants": variants,
    }


def score_of_seeds(of_seeds: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Mean over the seeds, with an interval that spans the 95 % intervals of all seeds: both items and seeds count."""
    means = [sum(shares) / len(shares) for shares in of_seeds]
    intervals = [interval_of(shares) for shares in of_seeds]
    return {
        "score": round(sum(means) / len(means), 4),
        "low": round(min(low for low, _ in intervals), 4),
        "high": round(max(high for _, high in intervals), 4),
        "n": len(of_seeds[0]),
        "seeds": [round(mean, 4) for mean in means],
    }


if __name__ == "__main__":
    sys.exit(main())
