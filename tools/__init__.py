"""Helpers of all measuring scripts, and scripts that describe this code base.

`results` describes a measurement and writes its file, `measuring` has clocks and limits of the machine, `script` the options
and child processes of every measuring script. `tables` renders the result files into README and docs, with the help of
`benchmark_tables`, `exam_tables` and `study_tables`. `code_figures` counts lines and names, `traced_files` lists the files
that an action executes, `drawn_digests` compares what two versions draw.

Imports go one way: `benchmarks` and `experiments` import `tools`, never each other, and `tools` imports neither.
"""
