"""How a model is updated: the weighted likelihood update and DPO."""
