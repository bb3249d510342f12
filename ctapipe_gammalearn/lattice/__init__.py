"""Camera lattices: from pixel positions to neighbour and pooling tables (numpy, scipy only)."""

from .axial import axial_coordinates, fit_lattice
from .camera import CameraLattice, Level, match_positions
from .neighbours import TAPS, index_matrix, neighbour_table, renumber
from .patch import patch_lattice, patch_table
from .pooling import pooled_matrix, pooling_table
from .rotation import rotation_permutations

__all__ = [
    "TAPS",
    "CameraLattice",
    "Level",
    "axial_coordinates",
    "fit_lattice",
    "index_matrix",
    "match_positions",
    "neighbour_table",
    "patch_lattice",
    "patch_table",
    "pooled_matrix",
    "pooling_table",
    "renumber",
    "rotation_permutations",
]
