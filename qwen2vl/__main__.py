"""`python -m qwen2vl`, also what `torchrun -m qwen2vl` calls."""

import sys

from qwen2vl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
