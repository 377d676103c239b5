"""Reference statistics on disk: kept, exchanged with pytorch_fid, refused when they are others'."""

from dataclasses import replace

import numpy as np
import pytest
import straightforward
import torch

from msdd.data.image_folder import images_digest
from msdd.errors import MsddError
from msdd.evaluate import protocols, samples_reference, samples_rules
from msdd.evaluate.accumulator import Sums
from msdd.evaluate.reference_statistics import (
    Reference,
    cache_path,
    cache_statistics,
    check_options,
    identity,
    read,
    read_cached,
    write,
)
from msdd.metrics.frechet import Moments, frechet_distance
from msdd.metrics.kid import Sample
from msdd.weights import pretrained
from msdd.weights.optional_imports import import_torchvision

OF = identity("a1b2", "adm 256 round", "inception", "tf1")


def reference(seed: int = 0) -> Reference:
    features = torch.randn(30, 8, generator=torch.Generator().manual_seed(seed))
    moments, sample = Moments(8), Sample(8, capacity=10)
    moments.update(features)
    sample.update(range(30), features)
    return Reference.of(OF, moments, sample)


def test_written_statistics_come_back_bit_by_bit(tmp_path):
    made = reference()
    write(tmp_path / "a.npz", made)
    found = read(tmp_path / "a.npz", OF)
    for name in ("mean", "covariance", "features"):
        assert torch.equal(getattr(found, name), getattr(made, name))
    assert (found.count, found.identity) == (30, OF)
    assert frechet_distance(found, made) < 1e-8
    write(tmp_path / "b.npz", found)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_pytorch_fid_reads_ours_and_we_read_its(tmp_path):
    import_torchvision()
    from pytorch_fid.fid_score import compute_statistics_of_path

    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for seed, path in enumerate(paths):
        write(path, reference(seed))
    arrays = [compute_statistics_of_path(str(path), None, 1, 8, "cpu") for path in paths]
    expected = straightforward.frechet_of_moments(*arrays[0], *arrays[1])
    np.savez_compressed(tmp_path / "theirs.npz", mu=arrays[0][0], sigma=arrays[0][1])
    theirs = read(tmp_path / "theirs.npz", OF)
    assert (theirs.count, theirs.identity, theirs.features) == (None, None, None)
    assert frechet_distance(theirs, read(paths[1])) == pytest.approx(expected, rel=1e-6)


def test_kept_statistics_are_found_for_the_same_set_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_cached(OF) is None
    sums = Sums(8, True, torch.device("cpu"))
    sums.update(range(30), torch.randn(30, 8, generator=torch.Generator().manual_seed(0)))
    kept = cache_statistics(OF, sums)
    for name in ("covariance", "features"):
        assert torch.equal(getattr(read_cached(OF), name), getattr(kept, name))
    for name in ("images", "preparation", "features", "weights", "resize", "levels"):
        assert read_cached(replace(OF, **{name: "other"})) is None
    cache_path(OF).write_bytes(b"half a file")
    assert read_cached(OF) is None


@pytest.mark.parametrize("name", ["images", "preparation", "weights", "resize", "levels"])
def test_statistics_of_something_else_are_refused(tmp_path, name):
    write(tmp_path / "a.npz", reference())
    with pytest.raises(MsddError, match=f"a.npz has statistics of {name} '.*' where.*'other'"):
        read(tmp_path / "a.npz", replace(OF, **{name: "other"}))
    assert read(tmp_path / "a.npz", replace(OF, images=None)).identity == OF


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    objects = np.array([print], dtype=object)
    for arrays, message in [
        ({"mu": objects, "sigma": objects}, "a.npz is not a readable .npz.*it holds object"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, r"holds no statistics.*\(3,\) and \(4, 4\)"),
        ({"arr_0": np.zeros(3)}, "holds no statistics.*None and None"),
        ({"mu": np.zeros(1), "sigma": np.eye(1), "about": "{"}, "is not a readable .npz"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "its mu contains NaN"),
        ({"mu": np.zeros(2), "sigma": np.array([[1, 0.5], [0, 1]])}, "is not symmetric"),
        ({"mu": np.zeros(2), "sigma": np.diag([1, -0.1])}, "has the eigenvalue -0.1"),
    ]:
        np.savez(path, **arrays)
        with pytest.raises(MsddError, match=message):
            read(path)
    whole = reference()
    write(path, whole)
    for damaged in (path.read_bytes()[:-40], b"", b"half a file"):
        path.write_bytes(damaged)
        with pytest.raises(MsddError, match="a.npz is no .npz file"):
            read(path)
    with pytest.raises(MsddError, match="none.npz.*No such file"):
        read(tmp_path / "none.npz")


def test_rounding_is_no_mistake_of_a_covariance(tmp_path):
    """Of 30 images in 8 and 100 dimensions, in float32, as some programs write it."""
    for dimensions in (8, 100):
        features = np.random.default_rng(0).normal(size=(30, dimensions)) * 50
        sigma = np.cov(features, rowvar=False).astype(np.float32)
        np.savez(tmp_path / "a.npz", mu=features.mean(0), sigma=sigma)
        assert read(tmp_path / "a.npz").covariance.dtype == torch.float64


def test_digests_are_of_content_and_name(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    a.write_bytes(b"1"), b.write_bytes(b"2")
    whole, part, moved = (("a", a), ("b", b)), (("a", a),), (("x/a", a), ("b", b))
    swapped = (("a", b), ("b", a))
    assert len({images_digest(named) for named in (whole, part, moved, swapped)}) == 4
    assert OF.weights == pretrained.SOURCES["inception"].digest


def test_one_file_does_not_serve_two_resizes(tmp_path):
    """The same network behind another resize makes other features, and a file has those of one."""
    file = tmp_path / "foreign.npz"
    chosen = protocols.load(["primary", "ssdd"]).values()
    check_options(list(chosen)[:1], file, None)
    with pytest.raises(MsddError, match="inception behind pytorch_fid, inception behind tf1"):
        check_options(chosen, file, None)
    rules = samples_rules.load(["adm", "pytorch-fid"]).values()
    given = samples_reference.Given(str(file), None, file, {})
    with pytest.raises(MsddError, match="behind one resize, and these protocols take inception"):
        samples_reference.read_all(given, rules)
