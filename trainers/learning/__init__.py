"""Updates of a model: weighted likelihood and DPO."""
