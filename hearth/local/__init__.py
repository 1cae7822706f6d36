"""Local mode: one process that supervises engines on one machine and scales them."""
