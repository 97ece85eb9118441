"""Entry point of `python -m qwen2vl` and `torchrun -m qwen2vl`."""

import sys

from qwen2vl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
