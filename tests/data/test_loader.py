"""From the plan to rows: lengths are those of the rows, failures keep their positions, killed workers are replaced."""

import multiprocessing
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
import torch

from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import index_store
from qwen2vl.data.loader import StepLoader
from qwen2vl.data.plan import Budgets, Cursor, Phase, Plan, PlanConfig
from qwen2vl.data.quarantine import Quarantine, read_failures
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.data.store import Store
from qwen2vl.data.workers import PackWorkers, Worker
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.tokens import IGNORED

from .conftest import records_in, write_lines

NAMES = ("pairs", "many", "videos", "text", "news", "talk")
BUDGETS = Budgets(tokens=400, visual_tokens=200, media=8)
CONFIG = PlanConfig(phases=(Phase(mixtures=(dict.fromkeys(NAMES, 1),)),), budgets=BUDGETS, packs_per_step=3, window=64)


def plan_of(store: Store, settings: MediaSettings, config: PlanConfig = CONFIG):
    index = index_store(store, NAMES, NANO, settings, config.budgets)
    return index, Plan(index.sources, config)


def loader_of(store, processor, folder, config=CONFIG, **more) -> StepLoader:
    index, plan = plan_of(store, processor.settings, config)
    return StepLoader(plan, SampleReader(store, processor, index.caps), Quarantine(folder), **more)


def same(one, other) -> bool:
    return all(
        getattr(a.inputs, name).equal(getattr(b.inputs, name))
        for a, b in zip(one.packs, other.packs, strict=True)
        for name in a.inputs.__slots__
    )


def test_the_lengths_of_the_index_are_those_of_the_rows_that_are_read(built, processor):
    index, _ = plan_of(built, processor.settings)
    reader = SampleReader(built, processor, index.caps)
    for lengths in index.sources.values():
        for at, row in enumerate(lengths.rows[:2].tolist()):
            read = reader.read(row)
            assert lengths.tokens[at] == read.num_tokens
            assert lengths.visual_tokens[at] * 4 == len(read.patches)
            assert lengths.media[at] == len(read.grids)


@pytest.mark.parametrize("limit", [60, 8])
def test_images_of_samples_over_a_budget_are_reduced_to_it(built, processor, limit):
    budgets = Budgets(tokens=400, visual_tokens=limit, media=8)
    index = index_store(built, NAMES, NANO, processor.settings, budgets)
    assert not index.refused
    assert bool(index.caps) == (limit < 60)
    reader = SampleReader(built, processor, index.caps)
    for row in index.caps:
        assert 4 <= len(reader.read(row).patches) / 4 <= limit
    for lengths in index.sources.values():
        assert lengths.visual_tokens.max() <= limit
        assert reader.read(int(lengths.rows[0])).num_tokens == lengths.tokens[0]


def test_samples_that_cannot_be_reduced_are_refused_with_the_reason(built, processor):
    index = index_store(built, NAMES, NANO, processor.settings, Budgets(tokens=400, visual_tokens=6, media=1))
    assert set(index.refused) == set(range(1, 60, 6))
    assert index.refused[1] == "2 images and videos, a pack holds 1"
    assert len(index.sources["many"]) == 0
    tight = index_store(built, NAMES, NANO, processor.settings, Budgets(tokens=20, visual_tokens=20, media=8))
    assert "leave no room" in tight.refused[0]


def test_a_blank_sample_has_the_same_shape_and_no_supervised_token(built, processor):
    reader = SampleReader(built, processor)
    for row in range(6):
        real, blank = reader.read(row), reader.blank(row)
        for name in ("ids", "positions", "segments", "grids"):
            assert getattr(real, name).equal(getattr(blank, name))
        assert blank.patches.shape == real.patches.shape
        assert (blank.labels == IGNORED).all()


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_any_number_of_workers_reads_the_same_steps(built, processor, tmp_path, num_workers):
    plain = list(loader_of(built, processor, tmp_path / "a", num_workers=0).steps(Cursor(), 4))
    read = list(loader_of(built, processor, tmp_path / "b", num_workers=num_workers).steps(Cursor(), 4))
    assert [step.digest for step in plain] == [step.digest for step in read]
    assert all(same(one, other) for one, other in zip(plain, read, strict=True))
    later = list(loader_of(built, processor, tmp_path / "c", num_workers=num_workers).steps(plain[1].cursor, 2))
    assert all(same(one, other) for one, other in zip(plain[2:], later, strict=True))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_processes_share_the_same_global_batches(built, processor, tmp_path, size):
    whole = list(loader_of(built, processor, tmp_path, num_workers=0).steps(Cursor(), 3))
    parts = [
        list(loader_of(built, processor, tmp_path, rank=rank, size=size, num_workers=0).steps(Cursor(), 3))
        for rank in range(size)
    ]
    for number, step in enumerate(whole):
        here = [share[number] for share in parts]
        assert {share.digest for share in here} == {step.digest}
        assert {share.flops for share in here} == {step.flops}
        rows = sorted(document.row for share in here for pack in share.packs for document in pack.documents)
        assert rows == sorted(document.row for pack in step.packs for document in pack.documents)


def test_a_killed_worker_is_replaced(built, processor, tmp_path):
    uninterrupted = list(loader_of(built, processor, tmp_path, num_workers=0).steps(Cursor(), 12))
    steps, seen = loader_of(built, processor, tmp_path, num_workers=2).steps(Cursor(), 12), []
    for step in steps:
        seen.append(step)
        if len(seen) in (2, 5):
            os.kill(pid_of_a_worker(), signal.SIGKILL)
    assert all(same(one, other) for one, other in zip(uninterrupted, seen, strict=True))


def requests_of(rows: Iterable[int]) -> list[PackRequest]:
    return [PackRequest(step=0, rows=(row,)) for row in rows]


def rows_read(workers: PackWorkers, requests: Sequence[PackRequest]) -> list[int]:
    """Submit all requests, then take all packs: their rows."""
    for request in requests:
        workers.submit(request)
    return [document.row for _ in requests for document in workers.next_pack().documents]


def test_requests_to_workers_that_were_ended_are_read_by_new_ones(built, processor):
    """torchrun stops a run with a signal to all processes: the workers are dead before the last step of the trainer."""
    with PackWorkers(SampleReader(built, processor), 2) as workers:
        assert rows_read(workers, requests_of([0])) == [0]
        for worker in workers.workers:
            os.kill(worker.process.pid, signal.SIGTERM)
            worker.process.join()
        assert rows_read(workers, requests_of(range(12))) == list(range(12))
        assert workers.restarts == 1


def test_workers_ignore_ctrl_c(built, processor):
    with PackWorkers(SampleReader(built, processor), 1) as workers:
        assert rows_read(workers, requests_of([0])) == [0]
        os.kill(workers.workers[0].process.pid, signal.SIGINT)
        assert rows_read(workers, requests_of(range(3))) == [0, 1, 2]
        assert workers.restarts == 0


class KilledInAnswer:
    """The trainer's end of a pipe whose worker is killed as soon as it has begun to write an answer."""

    def __init__(self, worker: Worker) -> None:
        self.process, self.connection = worker.process, worker.connection
        self.send, self.close = worker.connection.send, worker.connection.close

    def recv(self) -> object:
        self.connection.poll(None)
        self.process.kill()
        self.process.join()
        return self.connection.recv()


def test_a_worker_killed_in_the_middle_of_its_answer_is_replaced(built, processor):
    """The answer is larger than the buffer of a pipe, so the rest of it never comes."""
    reader, request = SampleReader(built, processor), PackRequest(step=0, rows=tuple(range(60)))
    with PackWorkers(reader, 1) as workers:
        workers.workers[0].connection = KilledInAnswer(workers.workers[0])
        workers.submit(request)
        pack = workers.next_pack()
        assert workers.restarts == 1
    assert pack.inputs.patches.nbytes > 1_000_000
    assert pack.inputs.patches.equal(reader.pack(request).inputs.patches)


def test_workers_that_are_killed_again_and_again_end_the_run_in_one_sentence(built, processor, tmp_path, monkeypatch):
    monkeypatch.setattr("qwen2vl.data.workers.RESTARTS", 0)
    steps = loader_of(built, processor, tmp_path, num_workers=1).steps(Cursor(), 50)
    next(steps)
    os.kill(pid_of_a_worker(), signal.SIGKILL)
    with pytest.raises(Qwen2VLError, match="killed 1 times.*same command"):
        list(steps)


def test_an_error_in_a_worker_is_raised_in_the_trainer_and_leaves_the_worker_alive(built, processor):
    with PackWorkers(SampleReader(built, processor), 1) as workers:
        workers.submit(PackRequest(step=0, rows=(10**6,)))
        with pytest.raises(AssertionError, match="row 1000000 of 60") as caught:
            workers.next_pack()
        assert "in a worker process" in caught.value.__notes__[0]
        workers.pending.clear()
        assert rows_read(workers, requests_of([3])) == [3]
        assert workers.restarts == 0


def test_no_worker_is_left_when_reading_ends_early(built, processor, tmp_path):
    steps = loader_of(built, processor, tmp_path, num_workers=2).steps(Cursor(), 50)
    next(steps)
    ends = [os.pidfd_open(process.pid) for process in multiprocessing.active_children()]
    assert len(ends) == 2
    steps.close()
    assert all_ended(ends, timeout_s=0)
    assert not multiprocessing.active_children()


TRAINER = """
import sys, time
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.data.store import Store
from qwen2vl.data.workers import PackWorkers
from qwen2vl.recipes.nano import nano_processor

with PackWorkers(SampleReader(Store(sys.argv[1]), nano_processor()), 2) as workers:
    for row in range(4):
        workers.submit(PackRequest(step=0, rows=(row,)))
    for _ in range(4):
        workers.next_pack()
    print(*(worker.process.pid for worker in workers.workers), flush=True)
    time.sleep(600)
"""


def test_workers_end_when_their_trainer_is_killed(built):
    command = [sys.executable, "-c", TRAINER, str(built.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        ends = [os.pidfd_open(int(pid)) for pid in trainer.stdout.readline().split()]
        trainer.kill()
    assert len(ends) == 2
    assert all_ended(ends, timeout_s=60)


def all_ended(pidfds: list[int], timeout_s: float) -> bool:
    """Whether all of these processes end within the time; closes the descriptors."""
    try:
        return all(select.select([pidfd], [], [], timeout_s)[0] for pidfd in pidfds)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def pid_of_a_worker() -> int:
    return multiprocessing.active_children()[-1].pid


@pytest.fixture
def damaged(tmp_path, processor) -> Store:
    """A store in which one image was truncated after the build and another one was replaced by a larger one."""
    folder = tmp_path / "records"
    folder.mkdir()
    records = records_in(folder)
    for number in range(6):
        shutil.copy(folder / "a.png", folder / f"a{number}.png")
        records.append(
            records[0]
            | {"id": f"own-{number}", "messages": [
                {"role": "user", "content": [{"type": "image", "image": f"a{number}.png"}]},
                {"role": "assistant", "content": str(number)},
            ]}
        )  # fmt: skip
    file = write_lines(folder / "all.jsonl", records)
    build(
        [file], BuildSettings(store=folder / "s", tokenizer=processor.tokenizer, media_root=None, media=MediaSettings())
    )
    (folder / "a1.png").write_bytes((folder / "a1.png").read_bytes()[:-900])
    shutil.copy(folder / "b.jpg", folder / "a2.png")
    return Store(folder / "s")


def test_samples_that_fail_are_listed_and_blank_and_all_others_are_supervised(damaged, built, processor, tmp_path):
    folder = tmp_path / "quarantine"
    names, config = ("pairs",), replace(CONFIG, phases=(Phase(mixtures=({"pairs": 1},)),))
    index = index_store(damaged, names, NANO, processor.settings, config.budgets)
    reader, plan = SampleReader(damaged, processor, index.caps), Plan(index.sources, config)
    steps = list(StepLoader(plan, reader, Quarantine(folder), num_workers=0).steps(Cursor(), 3))
    failed = {failure.id: failure.reason for step in steps for failure in step.failures}
    assert set(failed) == {"own-1", "own-2"}
    assert "damaged or truncated" in failed["own-1"]
    assert "not what it was when the store was built" in failed["own-2"]
    listed = {(failure.step, failure.row) for step in steps for failure in step.failures}
    assert [(failure.step, failure.row) for failure in read_failures(folder)] == sorted(listed)
    for step in steps:
        for pack in step.packs:
            for place, document in enumerate(pack.documents):
                begin, end = pack.inputs.segments[place : place + 2].tolist()
                is_bad = document.row in (7, 8)
                assert (pack.inputs.labels[begin:end] == IGNORED).all() == is_bad


def test_a_resumed_run_does_not_read_quarantined_samples_again(damaged, processor, tmp_path):
    """The image is repaired, but the resumed run has the same blank sample as the first run."""
    reader, folder = SampleReader(damaged, processor), tmp_path / "quarantine"
    request = PackRequest(step=4, rows=(6, 7))
    first = reader.pack(request)
    quarantine = Quarantine(folder)
    quarantine.add(first.failures)
    shutil.copy(tmp_path / "records/a.png", tmp_path / "records/a1.png")
    again = Quarantine(folder)
    assert again.holds(4, 7)
    assert not again.holds(5, 7)
    replayed = reader.pack(replace(request, skipped=frozenset({7})))
    assert replayed.inputs.labels.equal(first.inputs.labels)
    assert replayed.inputs.patches.equal(first.inputs.patches)
    assert not replayed.failures
    later = reader.pack(PackRequest(step=5, rows=(6, 7)))
    assert not later.failures
    assert (later.inputs.labels != IGNORED).sum() > (first.inputs.labels != IGNORED).sum()


def test_an_incomplete_line_of_the_quarantine_is_left_out(damaged, processor, tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.add(SampleReader(damaged, processor).pack(PackRequest(step=4, rows=(7,))).failures)
    with quarantine.file.open("a") as file:
        file.write('{"step": 5, "row"')
    assert set(Quarantine(tmp_path / "q").listed) == {(4, 7)}


def test_a_store_of_another_tokenizer_is_refused(built, processor):
    other = Processor(build_nano_tokenizer(["other"] * 5), NANO, processor.settings)
    with pytest.raises(ConfigError, match="another tokenizer"):
        SampleReader(built, other)


def test_a_pack_of_blank_samples_has_no_supervised_token(built, processor):
    inputs = SampleReader(built, processor).pack(PackRequest(step=0, rows=(0, 1), skipped=frozenset({0, 1}))).inputs
    assert torch.count_nonzero(inputs.labels != IGNORED) == 0
