"""Tests of instrument response, sensitivity and comparison."""
