"""The command line, `qwen2vl <verb>`. A verb checks its options, calls the layer below and prints the result.

`main` has the table of verbs and the exit codes, `options` parses strictly, `terminal` prints for people; each other
module is a verb, except `asking`, which does the work of `chat`, `plan_report`, which makes the report of `plan`, and
`recipe_options`, which `train` and `plan` share.
"""
