"""How fast the engine is beside the loop that public distillation code shares."""
