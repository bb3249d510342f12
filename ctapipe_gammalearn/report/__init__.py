"""Figures and the page of the comparison of reconstructors."""
