"""Instrument response, sensitivity and the comparison of reconstructions (no torch, no ctapipe)."""
