"""Types of numpy arrays that many modules pass around."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
