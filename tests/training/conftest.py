"""Few images of a small camera, shared by the tests of a module."""

import pytest

from .toy import toy_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the arrays are."""
    return tmp_path_factory.mktemp("arrays")


@pytest.fixture(scope="module")
def images(folder):
    """Few images of a small camera."""
    return toy_images(folder, 150, rings=4)
