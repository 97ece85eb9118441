"""Pages, receipts, forms and tables, with questions for their values."""
