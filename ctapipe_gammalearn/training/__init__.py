"""Training of γ-PhysNet (torch, Lightning; no ctapipe)."""
