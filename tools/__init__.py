"""What measures, writes and renders figures about this code base.

`results` describes a measurement and writes its file, `measuring` has clocks and limits of the machine, `script` what every
measuring script does, `tables` renders the result files into README and docs. `code_figures` and `drawn_digests` describe
the code and what it draws.

Imports point one way: `benchmarks` and `experiments` import `tools`, never each other, and `tools` imports neither.
"""
