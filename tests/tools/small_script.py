"""Runs a measuring script at tiny size in this process."""

import json
from pathlib import Path
from typing import Any

import torch


def run_small(script: Any, folder: Path, *options: str) -> dict[str, Any]:
    """The result file of a script, whose form is checked. torch keeps its number of threads."""
    threads = torch.get_num_threads()
    try:
        assert script.main(["--small", "--threads", "1", "--out", str(folder), *options]) == 0
    finally:
        torch.set_num_threads(threads)
    (path,) = folder.glob("*.json")
    result: dict[str, Any] = json.loads(path.read_text())
    assert result["small"]
    assert {"name", "title", "date", "machine", "versions", "settings", "agreement", "limits"} <= set(result)
    assert {"cpu", "cores", "threads", "memory_gb"} <= set(result["machine"])
    assert result["agreement"]["checks"]
    for line in result["comparisons"]:
        assert line["what"]
        assert line["ours"]["raw"]
        assert line["ours"]["min"] <= line["ours"]["median"] <= line["ours"]["max"]
        assert (line["ratio"] is None) == (line["theirs"] is None)
    return result
