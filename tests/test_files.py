"""Files are there entirely or not at all."""

import errno

import pytest

from ctapipe_gammalearn.files import whole_file


def test_a_file_gets_its_name_at_the_end(tmp_path):
    path = tmp_path / "a.fits.gz"
    path.write_text("old")
    with whole_file(path) as partial:
        assert partial.name.endswith("a.fits.gz")
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    """Begin to write and fail."""
    with whole_file(path) as partial:
        partial.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError()])
def test_nothing_is_left_of_a_failure(tmp_path, error):
    path = tmp_path / "a.h5"
    path.write_text("old")
    with pytest.raises(type(error)) as caught:
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
