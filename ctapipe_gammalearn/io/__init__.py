"""Input and output, thin over ctapipe.io."""
