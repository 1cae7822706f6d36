"""The operator: LLMServices in a cluster become objects, and what is seen of those becomes their status."""
