"""Open simulation of air showers, their Cherenkov light and camera images; no ctapipe needed."""
