"""Batches: the right images, in an order that survives interruptions."""

import itertools

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.arrays import join
from ctapipe_gammalearn.training.augment import Augmentation
from ctapipe_gammalearn.training.loader import BatchLoader, batches, shuffled

from .made_up import made_up_arrays

NOISE = Augmentation(rotate=False, nsb=(0, 1))


@pytest.fixture(scope="module")
def images(tmp_path_factory, hexagonal_camera):
    """300 gammas in one folder, 200 protons in another."""
    folder = tmp_path_factory.mktemp("arrays")
    return join(
        [
            made_up_arrays(folder / "gamma", 300, hexagonal_camera, 0),
            made_up_arrays(folder / "proton", 200, hexagonal_camera, 101),
        ]
    )


def make(images, **settings):
    """Loader of all images."""
    settings = {"batch_size": 20, "seed": 5} | settings
    return BatchLoader(images, np.arange(300), np.arange(300, 500), **settings)


def find(batch, images):
    """Numbers of the images of a batch, by their charges."""
    image = images.rows(np.arange(len(images)))[0]
    known = {row.tobytes(): i for i, row in enumerate(image)}
    return np.array([known[row.numpy().tobytes()] for row in batch["x"][:, 0]])


def test_batch_holds_what_the_files_hold(images):
    batch = next(iter(make(images)))
    index = find(batch, images)
    events = images.events[index]
    np.testing.assert_array_equal(batch["x"][:, 1], images.rows(index)[1])
    for name in ("log10_energy", "direction", "impact"):
        np.testing.assert_array_equal(batch[name], events[name])
    assert batch["label"].tolist() == (events["particle"] == 101).astype(int).tolist()
    types = {name: value.dtype for name, value in batch.items()}
    assert types.pop("label") == torch.int64
    assert set(types) == {"x", "log10_energy", "direction", "impact", "weight"}
    assert set(types.values()) == {torch.float32}
    assert batch["x"].shape == (20, 2, images.lattice.n_pixels)


@pytest.mark.parametrize(("fraction", "gammas", "n"), [(0.5, 10, 30), (0.8, 16, 50), (1.0, 20, 15)])
def test_epoch_is_one_pass_through_the_longer_class(images, fraction, gammas, n):
    loader = make(images, gamma_fraction=fraction)
    found = [find(batch, images) for batch in loader]
    assert len(found) == len(loader) == n
    assert all((index < 300).sum() == gammas for index in found)
    every = np.bincount(np.concatenate(found), minlength=500)
    longer = slice(0, 300) if fraction != 0.8 else slice(300, 500)
    assert (every[longer] == 1).all()
    # the other class is passed through again and again
    assert np.ptp(every[:300]) <= 1
    assert np.ptp(every[300:]) <= 1


def test_orders_differ_between_epochs_and_seeds(images):
    loader = make(images)
    first, second = ([find(b, images).tolist() for b in loader] for _ in range(2))
    assert first != second
    assert first == [find(b, images).tolist() for b in make(images)]
    assert first != [find(b, images).tolist() for b in make(images, seed=6)]


def same(one, other):
    """Whether two batches are equal to the last bit."""
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop", [1, 17, 29, 30, 31, 60, 73])
def test_resumed_loader_goes_on_bit_by_bit(images, stop):
    """Stopped after any step, also at the ends of epochs, with noise; two epochs more."""
    settings = {"augmentation": NOISE, "energy_weight_index": 1.0}
    whole = make(images, **settings)
    expected = [b for _ in range(4) for b in whole]
    loader, count, state = make(images, **settings), 0, None
    while count < stop:
        for _ in loader:
            count += 1
            state = loader.state_dict()
            if count == stop:
                break
    resumed = make(images, **settings)
    resumed.load_state_dict(state)
    rest = list(itertools.islice((b for _ in range(4) for b in resumed), 60))
    later = expected[stop : stop + 60]
    assert all(same(a, b) for a, b in zip(rest, later, strict=False))
    assert len(rest) >= len(later) > 40


def test_threads_do_not_change_the_batches(images):
    one, other = (list(make(images, augmentation=NOISE, threads=n)) for n in (1, 4))
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_state_before_anything_and_after_an_epoch(images):
    loader = make(images)
    assert loader.state_dict() == {"epoch": 0, "position": 0}
    states = [loader.state_dict() for _ in loader]
    assert states[0] == {"epoch": 0, "position": 1}
    assert states[-2] == {"epoch": 0, "position": 29}
    # the consumer may never ask for more than the last batch
    assert states[-1] == {"epoch": 1, "position": 0}


def test_noise_depends_on_the_epoch(images):
    loader = make(images, augmentation=NOISE, gamma_fraction=1.0)
    first, second = (torch.cat([b["x"] for b in loader]) for _ in range(2))
    assert not torch.equal(first.sum((1, 2)).sort().values, second.sum((1, 2)).sort().values)


def test_rotations_need_a_symmetric_camera(images):
    with pytest.raises(TrainingError, match="rotate: false"):
        make(images, augmentation=Augmentation())


def test_energy_weights_are_bounded_and_for_gammas_only(images):
    weights = torch.cat([b["weight"] for b in make(images, energy_weight_index=2.0)])
    labels = torch.cat([b["label"] for b in make(images)])
    energy = 10 ** torch.cat([b["log10_energy"] for b in make(images)]).double()
    assert (weights[labels == 1] == 1).all()
    gamma = labels == 0
    power = energy[gamma] ** 2
    expected = (power / power.mean()).clip(0.1, 10)
    torch.testing.assert_close(weights[gamma].double(), expected, rtol=1e-5, atol=0)
    assert (torch.cat([b["weight"] for b in make(images)]) == 1).all()


def test_given_labels_are_used(images):
    labels = np.where(images.events["particle"] == 0, 2, 0)
    batch = next(iter(make(images, labels=labels)))
    assert batch["label"].tolist() == [2] * 10 + [0] * 10


@pytest.mark.parametrize(
    ("gammas", "background", "message"),
    [
        ([], [301], "no gammas left"),
        ([1], [], "no background events left"),
        ([1, 2], [2], "at once"),
        ([1, 2], [301], "fewer images"),
    ],
)
def test_impossible_divisions_are_refused(images, gammas, background, message):
    with pytest.raises(TrainingError, match=message):
        BatchLoader(images, gammas, background, batch_size=20)


def test_few_images_of_one_class_are_repeated(images):
    loader = BatchLoader(images, np.arange(300), np.arange(300, 303), batch_size=20)
    found = np.concatenate([find(b, images) for b in loader])
    assert np.bincount(found, minlength=303)[300:].tolist() == [100, 100, 100]


def test_shuffling_reads_the_disk_in_blocks():
    index = np.arange(0, 200_000, 2)
    order = shuffled(index, np.random.default_rng(1))
    assert np.array_equal(np.sort(order), index)
    window = order[:4096]
    assert len(np.unique(window // 128)) == 64  # of 1563 blocks of 64 images
    assert abs(np.corrcoef(np.arange(4096), window)[0, 1]) < 0.1
    # blocks come from everywhere
    assert np.ptp(window) > 150_000
    assert len(shuffled(index[:0], np.random.default_rng(1))) == 0


def test_plain_batches_keep_the_order_and_all_images(images):
    index = np.array([499, 3, 250, 301, 7])
    found = list(batches(images, index, size=2))
    assert [len(b["x"]) for b in found] == [2, 2, 1]
    assert torch.cat([b["index"] for b in found]).tolist() == index.tolist()
    assert np.concatenate([find(b, images) for b in found]).tolist() == index.tolist()


def test_error_while_reading_reaches_the_consumer(images, monkeypatch):
    """Also from the thread that reads ahead."""
    loader = iter(make(images))
    next(loader)

    def broken(index):
        raise OSError("disk gone")

    monkeypatch.setattr(images, "rows", broken)
    with pytest.raises(OSError, match="disk gone"):
        list(loader)
