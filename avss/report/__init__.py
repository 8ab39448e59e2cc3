"""From the store to the book: comparisons, audit, tables and figures. Nothing here needs torch."""
