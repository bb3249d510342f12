"""Flat arrays of images: written completely or not at all, read back unchanged."""

import errno
import itertools
import json
from functools import partial

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training import arrays
from ctapipe_gammalearn.training.arrays import (
    EVENT_DTYPE,
    ImageArrays,
    join,
    noise_range,
    write_arrays,
)

from .made_up import made_up_arrays, made_up_images, made_up_meta


def pixels(lattice):
    """Positions as they are written."""
    return np.column_stack([lattice.pix_x, lattice.pix_y])


def write(folder, blocks, lattice):
    """Write blocks of a camera."""
    return write_arrays(folder, blocks, pixels(lattice), made_up_meta(lattice))


def test_blocks_of_any_size_come_back_as_written(tmp_path, hexagonal_camera):
    image, peak_time, events = made_up_images(1300, hexagonal_camera)
    edges = [0, 1, 400, 400, 1300]
    blocks = [(image[a:b], peak_time[a:b], events[a:b]) for a, b in itertools.pairwise(edges)]
    found = write(tmp_path / "a", iter(blocks), hexagonal_camera)
    assert len(found) == 1300
    np.testing.assert_array_equal(found.image, image.astype(np.float16))
    np.testing.assert_array_equal(found.peak_time, peak_time.astype(np.float16))
    assert found.events.tobytes() == events.tobytes()  # NaN equals NaN
    np.testing.assert_array_equal(found.pix_x, hexagonal_camera.pix_x)
    assert found.meta["sources"][0]["n_images"] == found.meta["n_images"] == 1300
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_noise_is_that_of_the_empty_pixels():
    sigma = np.linspace(1, 3, 201)[:, np.newaxis]
    image = np.random.default_rng(1).normal(0, sigma, (201, 2000))
    image[:, :40] += 50  # a shower
    image[:, 40:60] = 0  # dead pixels
    assert noise_range(image) == pytest.approx([1.1, 2.9], rel=0.03)


def test_arrays_are_plain_npy_files(tmp_path, hexagonal_camera):
    made_up_arrays(tmp_path / "a", 5, hexagonal_camera)
    image = np.load(tmp_path / "a" / "image.npy", allow_pickle=False)
    assert (image.shape, image.dtype) == ((5, hexagonal_camera.n_pixels), np.float16)
    assert np.load(tmp_path / "a" / "events.npy", allow_pickle=False).dtype == EVENT_DTYPE


def test_showers_are_known_if_all_folders_know_theirs(tmp_path, hexagonal_camera):
    blocks, meta = [made_up_images(6, hexagonal_camera)], made_up_meta(hexagonal_camera)
    kept = [
        write_arrays(
            tmp_path / name, blocks, pixels(hexagonal_camera), meta, partial(np.uint64, numbers)
        )
        for name, numbers in (("a", [2, 5]), ("b", [1, 5]))
    ]
    assert join(kept).showers.tolist() == [1, 2, 5]
    without = write(tmp_path / "c", blocks, hexagonal_camera)
    assert without.showers is None
    assert join([*kept, without]).showers is None
    (tmp_path / "a" / "showers.npy").write_bytes(b"no array")
    with pytest.raises(TrainingError, match=r"showers.npy is damaged"):
        _ = join(kept).showers


def test_missing_charges_become_zero_and_bad_images_are_dropped(tmp_path, hexagonal_camera):
    image, peak_time, events = made_up_images(6, hexagonal_camera)
    n_pixels = hexagonal_camera.n_pixels
    image[1, : n_pixels // 10] = np.nan  # a tenth, just allowed
    image[2, : n_pixels // 10 + 1] = np.inf
    peak_time[3] = np.nan
    peak_time[4, 0] = np.nan
    events["direction"][5] = np.nan
    found = write(tmp_path / "a", [(image, peak_time, events)], hexagonal_camera)
    assert found.events["event_id"].tolist() == events["event_id"][[0, 1, 4]].tolist()
    assert (found.image[1, : n_pixels // 10] == 0).all()
    assert found.peak_time[2, 0] == 0
    assert found.meta["n_dropped"] == 3
    assert np.isfinite(found.image).all()


def test_charges_beyond_half_precision_are_cut_off(tmp_path, hexagonal_camera):
    image, peak_time, events = made_up_images(1, hexagonal_camera)
    image[0, :2] = 1e6, -1e6
    found = write(tmp_path / "a", [(image, peak_time, events)], hexagonal_camera)
    assert found.image[0, :2].tolist() == [65504, -65504]


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_usable_is_an_error_and_leaves_nothing(tmp_path, hexagonal_camera, n):
    image, peak_time, events = made_up_images(n, hexagonal_camera)
    image[:] = np.nan
    with pytest.raises(TrainingError, match=f"no usable image \\({n} with missing pixels\\)"):
        write(tmp_path / "a", [(image, peak_time, events)], hexagonal_camera)
    assert not list(tmp_path.iterdir())


def test_existing_folder_is_never_touched(tmp_path, hexagonal_camera):
    (tmp_path / "a").mkdir()
    with pytest.raises(TrainingError, match="exists"):
        made_up_arrays(tmp_path / "a", 3, hexagonal_camera)
    assert not list((tmp_path / "a").iterdir())


def test_interrupted_writing_leaves_nothing(tmp_path, hexagonal_camera):
    def blocks():
        yield made_up_images(3, hexagonal_camera)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a", blocks(), hexagonal_camera)
    assert not list(tmp_path.iterdir())


def truncate(folder):
    """Cut a file in the middle."""
    path = folder / "image.npy"
    path.write_bytes(path.read_bytes()[:700])


def lengthen(folder):
    """One more row in one file."""
    events = np.load(folder / "events.npy")
    np.save(folder / "events.npy", np.concatenate([events, events[:1]]))


def other_type(folder):
    """A file of another type."""
    np.save(folder / "peak_time.npy", np.load(folder / "peak_time.npy").astype(float))


def objects(folder):
    """A file that would need pickle."""
    np.save(folder / "pixels.npy", np.array([{}], dtype=object), allow_pickle=True)


def newer(folder):
    """A later version of the format."""
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"version": 2}))


DAMAGES = {
    truncate: "image.npy|mmap length|buffer",
    lengthen: r"image.npy is float16 \(4, 89\)",
    other_type: "peak_time.npy is float64",
    objects: "pickle|object",
    newer: "version 2 instead of 1",
    lambda folder: (folder / "events.npy").unlink(): "events.npy is missing",
    lambda folder: (folder / "meta.json").write_text("{"): "no complete array folder",
    lambda folder: (folder / "meta.json").write_text("[]"): "meta.json lacks entries",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folder_is_named(tmp_path, hexagonal_camera, damage):
    made_up_arrays(tmp_path / "a", 4, hexagonal_camera)
    damage(tmp_path / "a")
    with pytest.raises(TrainingError, match=DAMAGES[damage]) as caught:
        ImageArrays(tmp_path / "a")
    assert str(caught.value).startswith(str(tmp_path / "a"))
    assert "\n" not in str(caught.value)


def test_joined_folders_are_numbered_through(tmp_path, hexagonal_camera):
    both = [made_up_arrays(tmp_path / c, n, hexagonal_camera, n) for c, n in (("a", 5), ("b", 3))]
    images = join(both)
    image, peak_time = images.rows(np.array([6, 0, 4, 7, 0]))
    assert image.dtype == peak_time.dtype == np.float32
    expected = [both[1].image[1], both[0].image[0], both[0].image[4], both[1].image[2]]
    np.testing.assert_array_equal(image, [*expected, both[0].image[0]])
    np.testing.assert_array_equal(peak_time[0], both[1].peak_time[1])
    assert len(images) == 8
    assert images.events["particle"].tolist() == [5] * 5 + [3] * 3
    assert [s["n_images"] for s in images.sources] == [5, 3]
    assert images.lattice.sha256 == hexagonal_camera.sha256
    assert images.rows([])[0].shape == (0, hexagonal_camera.n_pixels)


@pytest.mark.parametrize("index", [[-1], [5]])
def test_no_image_beyond_the_set(tmp_path, hexagonal_camera, index):
    images = join([made_up_arrays(tmp_path / "a", 5, hexagonal_camera)])
    with pytest.raises(IndexError):
        images.rows(index)


def test_other_camera_is_refused_by_name(tmp_path, hexagonal_camera, square_camera):
    one = made_up_arrays(tmp_path / "one", 3, hexagonal_camera)
    other = made_up_arrays(tmp_path / "other", 3, square_camera)
    with pytest.raises(TrainingError, match=r"other .*116 pixels.* not the camera of .*one .*89"):
        join([one, other])


def test_other_focal_length_is_another_camera(tmp_path, hexagonal_camera):
    one = made_up_arrays(tmp_path / "one", 3, hexagonal_camera)
    other = made_up_arrays(tmp_path / "other", 3, hexagonal_camera, focal_length_m=29.3)
    with pytest.raises(TrainingError, match=r"f = 29.300 m"):
        join([one, other])


def test_cleaning_is_known_if_it_is_the_same_for_all(tmp_path, hexagonal_camera):
    parts = [
        made_up_arrays(tmp_path / str(i), 3, hexagonal_camera, seed=i, cleaning=cleaning)
        for i, cleaning in enumerate([{"picture_pe": 8.0}, {"picture_pe": 8.0}, None])
    ]
    assert join(parts[:2]).cleaning == {"picture_pe": 8.0}
    assert join(parts).cleaning is None


def test_file_that_is_given_twice_is_announced(tmp_path, hexagonal_camera, caplog):
    one, other = (made_up_arrays(tmp_path / c, 3, hexagonal_camera) for c in "ab")
    assert len(join([one, other])) == 6
    assert "given twice" in caplog.text


def test_no_folder_at_all_is_an_error():
    with pytest.raises(TrainingError, match="no array folder"):
        join([])


def test_only_one_block_is_held(tmp_path, hexagonal_camera, monkeypatch):
    """Blocks are asked for one after the other, and each is written before the next."""
    sizes = []
    original = arrays._Column.append
    monkeypatch.setattr(
        arrays._Column, "append", lambda self, rows: (sizes.append(len(rows)), original(self, rows))
    )

    def blocks():
        for n in (1, 2, 3):
            assert len(sizes) == 3 * (n - 1)
            yield made_up_images(n, hexagonal_camera)

    write(tmp_path / "a", blocks(), hexagonal_camera)
