"""Pages, receipts, forms and tables: values to be looked up."""
