"""Samples read from DL2 files: joined by event, with what is missing or invalid left out."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tables
from astropy.table import vstack
from ctapipe.io import read_table, write_table

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.io import dl2_tables
from ctapipe_gammalearn.io.dl2_events import read_sample
from ctapipe_gammalearn.io.dl2_settings import check_same_array, read_settings
from tests.irf.dl2 import GROUPS, PREFIXES, write_dl2
from tests.irf.toy import toy

ENERGY, PARTICLE = (f"/dl2/event/subarray/{k}/Ref" for k in ("energy/", "particle_type/"))
ENERGY, PARTICLE = f"{ENERGY}Energy", f"{PARTICLE}Particle"
SHOWERS, RUNS = "/simulation/event/subarray/shower", "/configuration/simulation/run"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Toy samples and their files by kind."""
    folder = tmp_path_factory.mktemp("dl2")
    samples = toy(600, 400, uses=2)
    for kind, sample in samples.items():
        write_dl2(folder / f"{kind}.dl2.h5", sample, uses=2)
    return SimpleNamespace(samples=samples, **{k: folder / f"{k}.dl2.h5" for k in samples})


@pytest.fixture
def gamma(files, tmp_path):
    """A copy of the gamma file, to be changed."""
    return shutil.copy(files.gamma, tmp_path / "gamma.dl2.h5")


def change(path, node, edit):
    """Replace a table by what ``edit`` makes of it."""
    table = read_table(path, node)
    edited = edit(table)
    write_table(table if edited is None else edited, path, node, overwrite=True)


def same(a, b):
    """Assert that two samples are equal."""
    for name in ("true_energy", "true_offset", "cluster", "quality"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name, reconstruction in a.reconstructions.items():
        for column, values in vars(reconstruction).items():
            np.testing.assert_array_equal(values, getattr(b.reconstructions[name], column))


@pytest.mark.parametrize("kind", ["gamma", "proton"])
def test_what_was_written_is_read(files, kind):
    sample, settings = read_sample([getattr(files, kind)], kind, PREFIXES)
    expected = files.samples[kind]
    np.testing.assert_allclose(sample.true_energy, expected.true_energy, rtol=1e-12)
    np.testing.assert_allclose(sample.true_offset, expected.true_offset, rtol=1e-9)
    for name, reconstruction in sample.reconstructions.items():
        wanted = expected.reconstructions[name]
        np.testing.assert_array_equal(reconstruction.gammaness, wanted.gammaness)
        np.testing.assert_allclose(reconstruction.offset, wanted.offset, rtol=1e-6)
        # the toy is flat
        np.testing.assert_allclose(reconstruction.theta, wanted.theta, rtol=0.02, atol=1e-5)
        assert reconstruction.valid.all()
    assert settings.thrown == replace(expected.thrown, n_showers=round(expected.thrown.n_showers))
    assert sample.quality.all()


def test_uses_of_a_shower_share_a_cluster(files):
    sample, _ = read_sample([files.gamma], "gamma", PREFIXES)
    np.testing.assert_array_equal(sample.cluster[::2], sample.cluster[1::2])
    assert len(np.unique(sample.cluster)) == 300


def test_event_numbers_that_do_not_count_uses(gamma, files):
    """Numbers in sequence: showers are told apart by energy and direction."""
    for node in (SHOWERS, *all_dl2(gamma)):
        change(gamma, node, lambda t: t.replace_column("event_id", np.arange(len(t))))
    sample, _ = read_sample([gamma], "gamma", PREFIXES)
    assert len(np.unique(sample.cluster)) == 300
    np.testing.assert_array_equal(sample.cluster[::2], sample.cluster[1::2])


def all_dl2(path):
    """Tables of DL2."""
    with tables.open_file(path) as h5:
        return [node._v_pathname for node in h5.walk_nodes("/dl2", "Table")]


def test_tables_in_another_order_are_joined_by_event(gamma, files):
    change(gamma, ENERGY, lambda t: t[np.random.default_rng(1).permutation(len(t))])
    same(*(read_sample([path], "gamma", PREFIXES)[0] for path in (gamma, files.gamma)))


def test_small_chunks_change_nothing(files, monkeypatch):
    whole, _ = read_sample([files.gamma], "gamma", PREFIXES)
    monkeypatch.setattr(dl2_tables, "CHUNK", 7)
    same(read_sample([files.gamma], "gamma", PREFIXES)[0], whole)


def test_missing_rows_and_invalid_and_nan_are_not_reconstructed(gamma):
    change(gamma, ENERGY, lambda t: t[5:])

    def edit(table):
        table["RefParticle_is_valid"][10] = False
        table["RefParticle_prediction"][11] = np.nan

    change(gamma, PARTICLE, edit)
    sample, _ = read_sample([gamma], "gamma", PREFIXES)
    expected = np.ones(600, bool)
    expected[[*range(5), 10, 11]] = False
    np.testing.assert_array_equal(sample.reconstructions["ref"].valid, expected)
    assert sample.reconstructions["dl"].valid.all()


def test_classification_is_the_old_name_of_particle_type(files, tmp_path):
    """One reconstructor under each name, as of ctapipe 0.28."""
    path = tmp_path / "old.dl2.h5"
    write_dl2(path, files.samples["gamma"], 2, groups=GROUPS | {"gammaness": "classification"})
    with tables.open_file(path, "a") as h5:
        h5.move_node(
            "/dl2/event/subarray/classification/RefParticle",
            "/dl2/event/subarray/particle_type", createparents=True,
        )  # fmt: skip
    same(*(read_sample([p], "gamma", PREFIXES)[0] for p in (path, files.gamma)))


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_a_prefix_under_both_names_must_be_the_same(gamma, files, shift):
    table = read_table(gamma, PARTICLE)
    table["RefParticle_prediction"] += shift
    write_table(table, gamma, PARTICLE.replace("particle_type", "classification"))
    if shift:
        with pytest.raises(IRFError, match="differs between the groups"):
            read_sample([gamma], "gamma", PREFIXES)
    else:
        same(*(read_sample([p], "gamma", PREFIXES)[0] for p in (gamma, files.gamma)))


def test_several_files_add_up(files, tmp_path):
    second = tmp_path / "second.dl2.h5"
    write_dl2(second, toy(50, 0, seed=9)["gamma"], obs_id=2)
    first, one = read_sample([files.gamma], "gamma", PREFIXES)
    read = []
    both, two = read_sample(
        [files.gamma, second], "gamma", PREFIXES, progress=lambda: read.append(1)
    )
    assert len(read) == 2
    assert len(both) == 650
    same(both.take(np.arange(600)), first)
    assert two.thrown.n_showers > one.thrown.n_showers
    assert two.obs_ids == (1, 2)


def test_uses_count_without_a_table_of_thrown_showers(gamma):
    """Showers would count once with ctapipe 0.28 itself."""
    remove(gamma, "/simulation/service")
    change(gamma, RUNS, lambda t: t.replace_column("shower_reuse", [10]))
    n_showers = read_table(gamma, RUNS)["n_showers"][0]
    assert read_settings(gamma).thrown.n_showers == 10 * n_showers


def test_quality_by_true_energy_and_multiplicity(files):
    quality = [("bright", "true_energy > 1"), ("seen", "multiplicity >= 1")]
    sample, _ = read_sample([files.gamma], "gamma", PREFIXES, quality=quality)
    np.testing.assert_array_equal(sample.quality, sample.true_energy > 1)


def cut_off(path):
    with open(path, "r+b") as file:
        file.truncate(100_000)


def remove(path, node):
    with tables.open_file(path, "a") as h5:
        h5.remove_node(node, recursive=True)


BROKEN = {
    "cut off": (cut_off, "cannot be read as HDF5: cut off"),
    "contradicting showers": (
        lambda p: change(p, RUNS, lambda t: t.replace_column("shower_reuse", [3])),
        "thrown showers in .*, but",
    ),
    "other primary": (
        lambda p: change(p, SHOWERS, lambda t: t["true_shower_primary_id"].fill(101)),
        "particle 101 in a sample of kind gamma",
    ),
    "no events": (lambda p: change(p, SHOWERS, lambda t: t[:0]), "no event of kind gamma"),
    "no settings": (
        lambda p: remove(p, "/configuration/simulation"),
        "no table .*/configuration/simulation",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unusable_files_are_one_line(gamma, name):
    damage, message = BROKEN[name]
    damage(gamma)
    with pytest.raises(IRFError, match=message) as caught:
        read_sample([gamma], "gamma", PREFIXES)
    assert str(caught.value).count("\n") == 0
    assert "gamma.dl2.h5" in str(caught.value)


def test_unknown_prefixes_suggest_close_ones(files):
    wrong = {"ref": PREFIXES["ref"] | {"energy": "RefEnerg"}}
    with pytest.raises(IRFError, match=r"no reconstruction RefEnerg .* did you mean RefEnergy"):
        read_sample([files.gamma], "gamma", wrong)
    wrong = {"ref": PREFIXES["ref"] | {"gammaness": "zzz"}}
    with pytest.raises(IRFError, match=r"particle_type or .*classification; known: Net.*, Ref"):
        read_sample([files.gamma], "gamma", wrong)


def test_a_file_given_twice_is_refused(files):
    with pytest.raises(IRFError, match="run 1 is in another file, too"):
        read_sample([files.gamma, files.gamma], "gamma", PREFIXES)


def test_other_settings_are_refused(files, tmp_path):
    other = toy(50, 0)["gamma"]
    other = replace(other, thrown=replace(other.thrown, index=-2.5))
    write_dl2(tmp_path / "other.dl2.h5", other, obs_id=2)
    with pytest.raises(IRFError, match=r"other.dl2.h5: index -2.5, but -2 in .*gamma.dl2.h5"):
        read_sample([files.gamma, tmp_path / "other.dl2.h5"], "gamma", PREFIXES)


def test_another_azimuth_is_another_pointing(files, tmp_path):
    """The altitude is all that ctapipe itself looks at."""
    write_dl2(tmp_path / "b.dl2.h5", toy(0, 50)["proton"], pointing=(70.0, 175.0))
    first, second = (read_settings(path) for path in (files.gamma, tmp_path / "b.dl2.h5"))
    check_same_array(first, read_settings(files.proton))
    with pytest.raises(IRFError, match="pointing alt 70 az 175 deg, but alt 70 az 180"):
        check_same_array(first, second)


@pytest.mark.parametrize("text, message", [("nonsense > 1", "nonsense"), ("1 +", "no expression")])
def test_unusable_quality_is_one_line(files, text, message):
    with pytest.raises(IRFError, match=message):
        read_sample([files.gamma], "gamma", PREFIXES, quality=[("q", text)])


@pytest.fixture
def images(gamma):
    """All gammas seen by telescope 1, every third one by telescope 2 as well, twice as strong."""
    seen = "/dl1/event/telescope/trigger"
    first = read_table(gamma, seen)
    second = first[::3].copy()
    first["tel_id"], second["tel_id"] = 1, 2
    write_table(vstack([first, second]), gamma, seen, overwrite=True)
    for prefixes in PREFIXES.values():
        for part, group in GROUPS.items():
            prefix = prefixes[part]
            table = read_table(gamma, f"/dl2/event/subarray/{group}/{prefix}")
            table.remove_column(f"{prefix}_telescopes")
            for name in table.colnames[2:]:
                table.rename_column(name, name.replace(prefix, f"{prefix}_tel"))
            table["tel_id"] = 1
            node = f"/dl2/event/telescope/{group}/{prefix}"
            write_table(table, gamma, f"{node}/tel_001")
            table["tel_id"] = 2
            if part == "energy":
                table[f"{prefix}_tel_energy"] *= 2
            # in another order
            write_table(table[::3][::-1], gamma, f"{node}/tel_002")
    return gamma


def test_images_of_all_telescopes_are_rows(images, files):
    sample, settings = read_sample([images], "gamma", PREFIXES, "telescope")
    expected = files.samples["gamma"].reconstructions["ref"].energy
    np.testing.assert_allclose(sample.reconstructions["ref"].energy[:600], expected)
    np.testing.assert_allclose(sample.reconstructions["ref"].energy[600:], 2 * expected[::3])
    np.testing.assert_array_equal(sample.cluster[600:], sample.cluster[:600:3])
    assert sample.thrown.n_showers == 2 * settings.thrown.n_showers


@pytest.mark.parametrize("chosen", [[2], [2, 2], ["LST_LST_LSTCam", 2]])
def test_images_of_some_telescopes(images, files, chosen):
    sample, settings = read_sample([images], "gamma", PREFIXES, "telescope", telescopes=chosen)
    n = 600 * (len(set(chosen)) == 2) + 200
    assert len(sample) == n
    expected = files.samples["gamma"].reconstructions["ref"].energy
    np.testing.assert_allclose(sample.reconstructions["ref"].energy[-200:], 2 * expected[::3])
    assert sample.thrown.n_showers == (1 + (n == 800)) * settings.thrown.n_showers


@pytest.mark.parametrize(
    ("chosen", "message"),
    [([77], "tel_id=77 not in subarray"), ([4], r"no results of telescopes \[4\]"),
     (["SST"], "SST")],
)  # fmt: skip
def test_telescopes_that_are_not_there(images, chosen, message):
    with pytest.raises(IRFError, match=f"gamma.dl2.h5: .*{message}.*; change allowed_tels"):
        read_sample([images], "gamma", PREFIXES, "telescope", telescopes=chosen)
