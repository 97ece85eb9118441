"""From the plan to rows: lengths foretell what is read, failures stay in their place, workers may die."""

import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.data import loader as loading
from qwen2vl.data.build import Settings, build
from qwen2vl.data.lengths import index_store
from qwen2vl.data.loader import StepLoader
from qwen2vl.data.plan import Budgets, Cursor, Phase, Plan, PlanConfig
from qwen2vl.data.quarantine import Quarantine, read_failures
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.data.store import Store
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


def test_lengths_are_those_of_the_rows_that_are_read(built, processor):
    index, _ = plan_of(built, processor.settings)
    reader = SampleReader(built, processor, index.caps)
    for lengths in index.sources.values():
        for at, row in enumerate(lengths.rows[:2].tolist()):
            read = reader.read(row)
            assert lengths.tokens[at] == read.num_tokens
            assert lengths.visual_tokens[at] * 4 == len(read.patches)
            assert lengths.media[at] == len(read.grids)


@pytest.mark.parametrize("limit", [60, 8])
def test_samples_over_a_budget_are_brought_under_it(built, processor, limit):
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


def test_samples_that_cannot_shrink_are_refused_with_the_reason(built, processor):
    index = index_store(built, NAMES, NANO, processor.settings, Budgets(tokens=400, visual_tokens=6, media=1))
    assert set(index.refused) == set(range(1, 60, 6))
    assert index.refused[1] == "2 images and videos, a pack holds 1"
    assert len(index.sources["many"]) == 0
    tight = index_store(built, NAMES, NANO, processor.settings, Budgets(tokens=20, visual_tokens=20, media=8))
    assert "leave no room" in tight.refused[0]


def test_a_silent_sample_has_the_same_shape_and_teaches_nothing(built, processor):
    reader = SampleReader(built, processor)
    for row in range(6):
        real, silent = reader.read(row), reader.silence(row)
        for name in ("ids", "positions", "segments", "grids"):
            assert getattr(real, name).equal(getattr(silent, name))
        assert silent.patches.shape == real.patches.shape
        assert (silent.labels == IGNORED).all()


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
    unbroken = list(loader_of(built, processor, tmp_path, num_workers=0).steps(Cursor(), 12))
    steps, seen = loader_of(built, processor, tmp_path, num_workers=2).steps(Cursor(), 12), []
    for step in steps:
        seen.append(step)
        if len(seen) in (2, 5):
            os.kill(worker_of_this_process(), signal.SIGKILL)
    assert all(same(one, other) for one, other in zip(unbroken, seen, strict=True))


def test_a_pool_that_is_already_broken_takes_requests_and_is_replaced(built, processor):
    """torchrun ends a run by a signal to all processes: the workers are gone before the trainer's last step."""
    reader, requests = SampleReader(built, processor), [PackRequest(step=0, rows=(row,)) for row in range(3)]
    with loading._Workers(reader, 1) as workers:
        workers.submit(requests[0])
        workers.next_pack()
        os.kill(worker_of_this_process(), signal.SIGTERM)
        while not workers.pool._broken:
            pass
        for request in requests:
            workers.submit(request)
        for request in requests:
            assert workers.next_pack().documents[0].row == request.rows[0]


def test_a_worker_killed_in_the_middle_of_its_answer_is_replaced(built, processor, monkeypatch):
    """Half a message stands in the pipe, as of a worker that was killed while it wrote."""
    monkeypatch.setattr(loading, "WATCH_S", 0.1)
    index, _ = plan_of(built, processor.settings)
    reader, request = SampleReader(built, processor, index.caps), PackRequest(step=0, rows=(0, 1))
    with loading._Workers(reader, 1) as workers:
        workers.submit(request)
        first = workers.next_pack()
        os.write(workers.pool._result_queue._writer.fileno(), (1000).to_bytes(4, "big") + b"half")
        os.kill(worker_of_this_process(), signal.SIGKILL)
        workers.submit(request)
        again = workers.next_pack()
        assert workers.restarts == 1
    assert again.inputs.ids.equal(first.inputs.ids)


def worker_of_this_process() -> int:
    import multiprocessing

    return multiprocessing.active_children()[-1].pid


def test_workers_that_die_again_and_again_end_the_run_in_one_sentence(built, processor, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "RESTARTS", 0)
    steps = loader_of(built, processor, tmp_path, num_workers=1).steps(Cursor(), 50)
    next(steps)
    os.kill(worker_of_this_process(), signal.SIGKILL)
    with pytest.raises(Qwen2VLError, match="killed 1 times.*same command"):
        list(steps)


@pytest.fixture
def damaged(tmp_path, processor) -> Store:
    """A store whose second image was cut off after it was built, and whose third one has become larger."""
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
    build([file], Settings(store=folder / "s", tokenizer=processor.tokenizer, media_root=None, media=MediaSettings()))
    (folder / "a1.png").write_bytes((folder / "a1.png").read_bytes()[:-900])
    shutil.copy(folder / "b.jpg", folder / "a2.png")
    return Store(folder / "s")


def test_items_that_fail_are_listed_and_replaced_and_all_others_stand(damaged, built, processor, tmp_path):
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


def test_resume_replays_the_list_instead_of_trying_again(damaged, processor, tmp_path):
    """The image is whole again, but the resumed run sees the silence that the first one saw."""
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


def test_a_torn_line_of_the_list_is_left_out(damaged, processor, tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.add(SampleReader(damaged, processor).pack(PackRequest(step=4, rows=(7,))).failures)
    with quarantine.file.open("a") as file:
        file.write('{"step": 5, "row"')
    assert set(Quarantine(tmp_path / "q").listed) == {(4, 7)}


def test_a_store_of_another_tokenizer_is_refused(built, processor):
    from qwen2vl.processing.processor import Processor

    other = Processor(build_nano_tokenizer(["other"] * 5), NANO, processor.settings)
    with pytest.raises(ConfigError, match="another tokenizer"):
        SampleReader(built, other)


def test_silence_is_drawn_on_no_gradient(built, processor):
    """A pack that failed as a whole has no supervised token."""
    inputs = SampleReader(built, processor).pack(PackRequest(step=0, rows=(0, 1), skipped=frozenset({0, 1}))).inputs
    assert torch.count_nonzero(inputs.labels != IGNORED) == 0
