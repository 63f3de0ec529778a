"""The parts of gpu/prove: stages, their ranges, and what runs and records them."""
