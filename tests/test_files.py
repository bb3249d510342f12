"""Files are there entirely or not at all."""

import errno

import pytest

from ctapipe_gammalearn.exceptions import OutputError
from ctapipe_gammalearn.files import part_name, publish, remove_strays, whole_file


def test_a_file_gets_its_name_at_the_end(tmp_path):
    path = tmp_path / "a.fits.gz"
    path.write_text("old")
    with whole_file(path) as partial:
        assert partial.suffix == ".gz"
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


def test_publishing_never_replaces_a_file_by_accident(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("old")
    part = part_name(path)
    part.write_text("new")
    with pytest.raises(OutputError, match="exists"):
        publish(part, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    part.write_text("new")
    publish(part, path, overwrite=True)
    assert path.read_text() == "new"


def test_only_strays_of_this_machine_are_removed(tmp_path):
    """Jobs of a farm share a folder: what another machine writes is none of our business."""
    mine = part_name(tmp_path / "a.dl1.h5")
    words = mine.name.split(".")
    gone, foreign = ([*words[:-5], m, "999999999", *words[-3:]] for m in (words[-5], "elsewhere"))
    paths = [mine, *(tmp_path / ".".join(name) for name in (gone, foreign))]
    for path in paths:
        path.touch()
    remove_strays(tmp_path)
    assert [path.exists() for path in paths] == [True, False, True]
