"""From raw records to packed rows: store, order, packing and reading of the samples of a run."""
