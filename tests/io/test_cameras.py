import astropy.units as u
import numpy as np
import pytest
from ctapipe.instrument import CameraGeometry, PixelShape

from ctapipe_gammalearn.exceptions import GammaLearnError
from ctapipe_gammalearn.io.cameras import lattice_shape, load_camera, pixel_positions
from ctapipe_gammalearn.lattice import CameraLattice

MIXED = "data/simtel/gamma_prod6_tel_event_header_v4.simtel.zst"


def test_built_in_camera_has_the_order_of_gammalearn(golden):
    table = np.load(golden / "lattice_lstcam.npz")
    geometry = load_camera("LSTCam")
    lattice = CameraLattice.from_positions(*pixel_positions(geometry), "hexagonal", 100.893)
    np.testing.assert_array_equal(lattice.pix_x, table["pix_x"])
    np.testing.assert_array_equal(lattice.neighbours, table["neighbours_cv0"])
    assert geometry.pix_rotation.to_value(u.deg) == pytest.approx(100.893)


@pytest.mark.parametrize("suffix", ["fits", "fits.gz", "ecsv"])
def test_table_of_a_square_camera(tmp_path, square_camera, suffix):
    geometry = CameraGeometry(
        "Square",
        np.arange(square_camera.n_pixels),
        square_camera.pix_x * u.m,
        square_camera.pix_y * u.m,
        np.full(square_camera.n_pixels, 3.6e-5) * u.m**2,
        PixelShape.SQUARE,
    )
    path = tmp_path / f"camera.{suffix}"
    geometry.to_table().write(path)
    loaded = load_camera(path)
    assert lattice_shape(loaded) == "square"
    np.testing.assert_array_equal(pixel_positions(loaded)[0], square_camera.pix_x)


def test_subarray_files(shared):
    with pytest.raises(GammaLearnError, match=r"--tel-id: 1 \(LSTcam\), 5 \(NectarCam\)") as error:
        load_camera(shared / MIXED)
    assert MIXED.rpartition("/")[2] in str(error.value)
    assert load_camera(shared / MIXED, 5).n_pixels == 1855
    assert load_camera(shared / "data/simtel/gct_checs_muons.simtel.zst").pix_type.name == "SQUARE"
    assert load_camera(shared / "data/sim/test_gamma_point.dl1.h5").name == "LSTCam"


def test_unknown_telescope(shared):
    with pytest.raises(GammaLearnError, match="no telescope 99; known: 1, 2, 3"):
        load_camera(shared / MIXED, 99)


@pytest.mark.parametrize("name", ["NoCam", "a.fits", "a.h5", "a.simtel.gz", "a.ecsv", "folder"])
def test_files_without_a_camera(tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name != "NoCam":
        path.write_bytes(b"nothing to see here" * 30)
    with pytest.raises(GammaLearnError) as error:
        load_camera(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_round_pixels_are_no_lattice():
    geometry = CameraGeometry("Round", [0], [0] * u.m, [0] * u.m, [1] * u.m**2, PixelShape.CIRCLE)
    with pytest.raises(GammaLearnError, match="CIRCLE"):
        lattice_shape(geometry)
