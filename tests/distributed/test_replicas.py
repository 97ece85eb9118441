"""Replicas: sums are equal on all processes and to one large message, and gradients never lie in one tensor."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qwen2vl.distributed import replicas as module
from qwen2vl.distributed.replicas import Replicas

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.init import new_model
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.inputs import pack
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.parts import set_trained
from qwen2vl.data.samples import SampleReader
from tests.training.conftest import ALL, CONFIG, SMALL

torch.set_num_threads(1)
largest = 0


class Largest(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        global largest
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            largest = max(largest, out.numel())
        return out


def optimizer_after(rows):
    model = new_model(SMALL, 0)
    set_trained(model, ALL)
    optimizer = MasterOptimizer(model, CONFIG)
    for row in rows:
        token_loss(model, row).total.backward()
        optimizer.collect()
    return optimizer


if __name__ == "__main__":
    replicas = Replicas.join()
    reader = SampleReader(Store(sys.argv[1]), nano_processor())
    # Row 3 is text alone: the tower of the second process gets no gradient.
    rows = [pack([reader.read(0), reader.read(2)]), reader.read(3)]
    optimizer = optimizer_after([rows[replicas.rank]])
    flat = torch.cat([gradient.reshape(-1) for gradient in optimizer.gradients().values()])
    dist.all_reduce(flat)
    with Largest():
        optimizer.reduce(replicas)
    reduced = optimizer.gradients()
    assert torch.equal(torch.cat([gradient.reshape(-1) for gradient in reduced.values()]), flat)
    assert 0 < largest <= 2**20 < len(flat), (largest, len(flat))
    for name, alone in optimizer_after(rows).gradients().items():
        torch.testing.assert_close(reduced[name], alone, rtol=1e-5, atol=1e-5 * float(alone.abs().max()), msg=name)
    print("equal", flush=True)
    replicas.leave()
"""


def test_two_processes_reduce_to_the_gradients_of_one(tmp_path, store):
    """Bit-equal to one message that holds all gradients, which is never made; one process has a row of text alone."""
    root = Path(__file__).resolve().parents[2]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*command, str(store.path)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout.split() == ["equal", "equal"], done.stderr[-3000:]


LEFT_ALONE = """
import os
import sys
import types

import torch

from qwen2vl.cli import main as cli
from qwen2vl.distributed.replicas import Replicas


def run(argv):
    replicas = Replicas.join()
    replicas.wait()
    if replicas.rank == int(argv[0]):
        os._exit(9)  # as a process that the system kills
    for _ in range(1000):
        replicas.sum([torch.ones(2**21)]) if argv[1] == "sum" else replicas.wait()
    return 0


broken = types.ModuleType("broken")
broken.run = run
sys.modules["broken"] = broken
cli.VERBS = {"train": cli.Verb(help="", module="broken")}
sys.stderr.flush()
code = cli.main(["train", *sys.argv[1:]])
sys.stderr.flush()
os._exit(code)
"""


@pytest.mark.parametrize(("dying", "exchange"), [(0, "sum"), (1, "sum"), (1, "wait")])
def test_a_process_that_is_left_alone_blames_the_other(tmp_path, dying, exchange):
    root = Path(__file__).resolve().parents[2]
    script = tmp_path / "script.py"
    script.write_text(LEFT_ALONE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(dying), exchange],
            env=os.environ | group | {"RANK": str(rank), "PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    survivor = 1 - dying
    assert processes[dying].returncode == 9
    assert processes[survivor].returncode == 1, errors[survivor][-2000:]
    assert "qwen2vl train: another process of this run has ended or cannot be reached" in errors[survivor]
    assert "fault of this program" not in errors[survivor]
    assert "Traceback" not in errors[survivor]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([3, 4, 3], [[3, 4, 3]]),
        ([3, 4, 4, 1], [[3, 4], [4, 1]]),
        ([11, 1, 12, 2, 8, 1], [[11], [1], [12], [2, 8], [1]]),
    ],
)
def test_small_tensors_share_a_message_and_large_ones_are_sent_alone(sizes, expected, monkeypatch):
    monkeypatch.setattr(module, "MESSAGE_NUMBERS", 10)
    messages = module._messages(torch.zeros(size) for size in sizes)
    assert [[len(tensor) for tensor in message] for message in messages] == expected


def test_a_group_of_one_leaves_tensors_as_they_are():
    tensor = torch.arange(3.0)
    Replicas().sum([tensor])
    assert tensor.tolist() == [0, 1, 2]
