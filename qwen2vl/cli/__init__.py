"""The command line, `qwen2vl <verb>`: thin. A verb checks what was typed, calls the layer below and shows the result.

`main` holds the table of verbs and turns errors into one sentence and an exit code; `options` parses strictly.
"""
