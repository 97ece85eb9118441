"""From raw records to packed rows: what a run reads, in which order, packed how, and dealt to whom."""
