"""Figures of samples beside those of the programs whose rules they follow, of crops of photographs
and one file of random weights of Inception."""

import guided_diffusion
import numpy as np
import pytest
import torch
from generated import compared, folder, pixels
from prdc import compute_prdc

from msdd.data.pixels import from_uint8
from msdd.evaluate import samples_figures, samples_rules
from msdd.evaluate.samples_rules import DensityCoverage, PrecisionRecall, Rules
from msdd.metrics import kid
from msdd.metrics.manifold import squared, squared_half
from msdd.metrics.mind import unit_vectors
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.pretrained_networks import feature_network

COUNT, FIRST = 16, (0, 47)  # of both sets: here no rounding decides what lies in a ball
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def sides(tmp_path):
    both = zip("ab", FIRST, strict=True)
    return [folder(tmp_path / name, pixels(first, COUNT)) for name, first in both]


def measured(sides, name: str) -> dict:
    return compared(*sides, samples_rules.load([name]))["protocols"][name]["metrics"]


def test_torch_fidelity_s_rules_give_what_it_gives(sides, inception, monkeypatch):
    """Its subsets of 1,000 are 8 here."""
    import_torchvision()
    from torch_fidelity import calculate_metrics

    monkeypatch.setattr(samples_figures, "SIZE", 8)
    monkeypatch.setattr(kid, "SIZE", 8)
    found = measured(sides, "torch-fidelity")
    theirs = calculate_metrics(
        **dict.fromkeys(("isc", "fid", "kid", "prc"), True),
        **{f"input{k}": str(side) for k, side in enumerate(sides, start=1)},
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(inception),
        kid_subset_size=8,
        batch_size=4,
        save_cpu_ram=True,  # reads without processes of its own
        cuda=False,
        cache=False,
        verbose=False,
    )
    kernel = "kernel_inception_distance"
    for name, part, key, tolerance in (
        ("inception_score", "mean", "inception_score_mean", 1e-4),
        ("inception_score", "std", "inception_score_std", 1e-3),
        ("kd_torch_fidelity_inception", "mean", f"{kernel}_mean", 1e-3),
        ("kd_torch_fidelity_inception", "std", f"{kernel}_std", 1e-3),
        ("precision", "mean", "precision", 1e-9),
        ("recall", "mean", "recall", 1e-9),
    ):
        assert found[name][part] == pytest.approx(theirs[key], rel=tolerance), name
    expected = theirs["frechet_inception_distance"]
    assert found["fd_inception"] == pytest.approx(expected, rel=1e-3)  # its roots of near zero


def test_adm_s_rules_give_its_formulas(sides, inception):
    """The formulas of guided-diffusion's evaluator on what torch-fidelity's network, a port of its
    graph, makes of the same images; sFID is of the first 7 channels of a block's first branch."""
    found = measured(sides, "adm")
    made, real = (seen_by_torch_fidelity(inception, pixels(first, COUNT)) for first in FIRST)
    assert found["fd_inception"] == pytest.approx(by_spectrum(made[0], real[0]), rel=1e-4)
    assert found["sfd_inception"] == pytest.approx(by_spectrum(made[1], real[1]), rel=1e-4)
    shares = np.exp(made[2] - made[2].max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    divergence = (shares * (np.log(shares) - np.log(shares.mean(0)))).sum(1)
    score = found["inception_score"]
    assert score["mean"] == pytest.approx(np.exp(divergence.mean()), rel=1e-4)
    assert score["std"] == 0  # one split
    expected = guided_diffusion.precision_recall(made[0], real[0])
    assert (found["precision"]["mean"], found["recall"]["mean"]) == expected


def test_figures_of_a_trained_network_s_features(sides):
    """Density and coverage beside the authors' package, precision and recall beside ADM's formulas
    pair by pair; and MIND by its definition, as it is in no released package."""
    rules = Rules(
        features="efficientnet-lite0",
        mind=True,
        precision_recall=PrecisionRecall(neighbours=3, distances="float16"),
        density_coverage=DensityCoverage(neighbours=3),
    )
    found = compared(*sides, {"one": rules})["protocols"]["one"]["metrics"]
    network = feature_network("efficientnet-lite0")
    levels = (torch.from_numpy(pixels(first, COUNT)).permute(0, 3, 1, 2) for first in FIRST)
    with torch.no_grad():
        made, real = (network(from_uint8(images)).double() for images in levels)
    a, b = (side.numpy() for side in (made, real))
    expected = compute_prdc(b, a, nearest_k=3)
    expected["precision"], expected["recall"] = guided_diffusion.precision_recall(a, b)
    assert all(0 < value < 1.5 and value != 1 for value in expected.values())
    assert {name: found[name]["mean"] for name in expected} == pytest.approx(expected, rel=1e-12)
    x, y = (side.astype(np.float16) for side in (a, b))
    half = [[guided_diffusion.distance(u, v) for v in y] for u in x]
    assert (squared_half(made.float(), real.float()).numpy() == half).mean() > 0.95
    assert (squared(made, real).half().numpy() == half).mean() < 0.8
    directions = unit_vectors(1000, made.shape[1], torch.Generator().manual_seed(2020)).double()
    a, b = ((side @ directions.T).sort(0).values for side in (made, real))
    distance = 3 * made.shape[1] * (a - b).square().mean().item()
    assert found["mind_efficientnet_lite0"]["mean"] == pytest.approx(distance, rel=1e-4)


def seen_by_torch_fidelity(path, levels: np.ndarray) -> list[np.ndarray]:
    """Pooled features (N, 2048), spatial ones (N, 2023) and logits without bias, float64."""
    import_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    spatial: list[torch.Tensor] = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda *given: spatial.append(given[-1]))
    with torch.no_grad():
        pooled, logits = network(torch.from_numpy(levels).permute(0, 3, 1, 2))
    maps = spatial[0][:, :7].permute(0, 2, 3, 1).flatten(1)
    return [x.double().numpy() for x in (pooled, maps, logits)]


def by_spectrum(made: np.ndarray, real: np.ndarray) -> float:
    """Fréchet distance of two sets of N rows: the trace of the root of the covariances' product is
    the sum of the singular values of A B^T, of the centred rows, by N - 1."""
    a, b = (x - x.mean(0) for x in (made, real))
    spread = (a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return ((made.mean(0) - real.mean(0)) ** 2).sum() + spread / (len(a) - 1)
