"""The lists of files in docs/architecture.md are those that execute."""

from tools.traced_files import PAGE, forward_pass, page_block, request


def test_the_page_shows_the_files_that_execute() -> None:
    assert page_block() in PAGE.read_text(encoding="utf-8")


def test_a_forward_pass_executes_at_most_seven_files() -> None:
    assert len(forward_pass()) <= 7


def test_a_request_executes_model_and_processing() -> None:
    assert {"qwen2vl/model/qwen2vl.py", "qwen2vl/processing/processor.py"} <= set(request())
