"""The catalogue against the networks, and official files through it, fitting or not."""

import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import test_cosmos
import test_dito
import test_flowmo
import test_llamagen
import test_ssdd
import test_titok
import torch
from cases import load_case
from recorded import FOLDER, cases
from safetensors.torch import save_file
from torch import Tensor

import msdd
from msdd.data.centre_crops import CROPS
from msdd.errors import MsddError
from msdd.files import digest, write_json
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.params.load import load as load_params
from msdd.report import published
from msdd.tokenizers import catalogue
from msdd.tokenizers.systems import SYSTEMS, System
from msdd.tokenizers.tokenizer import Description
from msdd.weights import hub

ROOT = Path(__file__).parents[2]
NAMED = [name for name, system in SYSTEMS.items() if system.config]


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """No weights on this machine, and no way to the Hub."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MSDD_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


# The table


@pytest.mark.parametrize("name", NAMED)
def test_the_table_is_what_the_networks_say(name):
    system = SYSTEMS[name]
    module = import_module(f"msdd.tokenizers.{system.family.module}")
    with torch.device("meta"):
        tokenizer = getattr(module, system.family.kind)(system.config(module))
    told = (system.tokens, system.dim, system.bits, system.parameters, system.nfe)
    assert tokenizer.describe() == Description(*told)
    assert tokenizer.resolution == system.resolution


def test_the_size_of_the_papers_model():
    params = load_params(ROOT / "presets/imagenet256.yaml")
    config = ModelConfig(params.data.resolution, **params.model.model_dump())
    with torch.device("meta"):
        model = Autoencoder(config)
    system = SYSTEMS["msdd"]
    assert sum(p.numel() for p in model.parameters()) == system.parameters
    told = (system.tokens, system.dim, system.nfe, system.resolution)
    assert told == (config.latents, config.latent_dim, config.scales, config.resolution)


def test_every_system_has_published_figures_and_a_crop():
    rows = published.read(ROOT).systems
    for system in SYSTEMS.values():
        assert system.family.crop in CROPS
        if system.row is None:  # nothing was published
            continue
        assert rows[system.row].system == system.family.title
        assert rows[system.row].figures().keys() & {"rfid", "psnr"}
        if "tokens" in rows[system.row].figures():
            assert rows[system.row].tokens.value == system.tokens
            assert rows[system.row].dim.value == system.dim


def test_a_telltale_is_of_one_family_only():
    """Of two families no file has both; Cosmos shares all its names with others."""
    for family in ("llamagen", "titok", "flowmo", "dito", "ssdd", "cosmos", "klvae"):
        for path in cases(family):
            state = load_case(path)[1]
            found = {
                system.family for system in SYSTEMS.values() if system.family.telltale in state
            }
            assert {one.module for one in found} == {family} - {"cosmos"}


# Official files


def of_case(name: str, tests: object) -> tuple[System, dict[str, Tensor], dict[str, Tensor]]:
    """A system with the configuration of a recorded case, its weights, and what was recorded."""
    system = SYSTEMS[name]
    found = cases(system.family.module)
    if not found:
        pytest.skip(f"no case of {system.family.title} in {FOLDER}")
    values, state, io = load_case(found[0])
    config = tests.config_of(values if tests is test_titok else values["config"])
    return replace(system, config=lambda module: config), state, io


OFFICIAL = [
    ("llamagen-16", test_llamagen, "vq.pt", lambda state: {"model": state}, "indices"),
    ("titok-s-128", test_titok, "titok.bin", lambda state: state, "tokens"),
    (
        *("flowmo-lo", test_flowmo, "flowmo_lo.pth"),
        lambda state: {"total_steps": 1, "model_state_dict": {}, "model_ema_state_dict": state},
        "indices",
    ),
    (
        *("dito-b", test_dito, "dito.pth"),
        lambda state: {"model": {"name": "dito", "args": {}, "sd": state}},
        "latent",
    ),
    ("ssdd-f8c4-s", test_ssdd, "F8C4.safetensors", None, "z_mode"),
    ("cosmos-di16x16", test_cosmos, "cosmos.pt", lambda state: state, "indices"),
]


def write(path: Path, state: dict[str, Tensor], wrap) -> Path:
    save_file(state, path) if wrap is None else torch.save(wrap(state), path)
    return path


@pytest.mark.parametrize(("name", "tests", "file", "wrap", "output"), OFFICIAL)
def test_an_official_file_gives_the_official_numbers(
    monkeypatch, tmp_path, name, tests, file, wrap, output
):
    system, state, io = of_case(name, tests)
    monkeypatch.setitem(SYSTEMS, name, system)
    path = write(tmp_path / file, state, wrap)
    tokenizer = msdd.load(name, checkpoint=path)
    found = tokenizer.encode(2 * io["image"] - 1 if name.startswith("titok") else io["image"])
    exact = not io[output].is_floating_point()
    expected = io[output].view(found.shape)
    torch.testing.assert_close(found, expected, atol=0 if exact else 1e-4, rtol=0)
    assert tokenizer.files == {file: digest(path)}
    assert not tokenizer.training and not any(p.requires_grad for p in tokenizer.parameters())


def test_a_folder_of_diffusers_is_a_tokenizer(tmp_path):
    (path, *_) = cases("klvae")
    io = load_case(path)[2]
    shutil.copy(path / "diffusers/config.json", tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    shutil.copy(path / "model.safetensors", weights)
    tokenizer = msdd.load(tmp_path)
    torch.testing.assert_close(tokenizer.encode(io["image"]), io["mean"], atol=1e-4, rtol=0)
    assert tokenizer.files == {weights.name: digest(weights)}


@pytest.mark.parametrize(("name", "tests", "file", "wrap", "output"), OFFICIAL)
def test_a_file_of_a_compiled_training_does_as_well(
    monkeypatch, tmp_path, name, tests, file, wrap, output
):
    system, state, io = of_case(name, tests)
    monkeypatch.setitem(SYSTEMS, name, system)
    renamed = {f"module._orig_mod.{key}": value for key, value in state.items()}
    tokenizer = msdd.load(name, checkpoint=write(tmp_path / file, renamed, wrap))
    plain = msdd.load(name, checkpoint=write(tmp_path / f"plain-{file}", state, wrap))
    images = 2 * io["image"] - 1 if name.startswith("titok") else io["image"]
    assert torch.equal(tokenizer.encode(images), plain.encode(images))


def test_a_kl_vae_by_name_in_other_forms(monkeypatch, tmp_path):
    """A folder as its checkpoint, a variant where weights are put, an index, in half precision."""
    (case, *_) = cases("klvae")
    values, state, io = load_case(case)
    system = replace(SYSTEMS["sd-vae-ft-mse"], config=lambda module: values["config"])
    monkeypatch.setitem(SYSTEMS, "sd-vae-ft-mse", system)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    place = tmp_path / "sd-vae-ft-mse"
    place.mkdir()
    with pytest.raises(MsddError, match="no weights on this machine"):
        msdd.load("sd-vae-ft-mse")
    file = "diffusion_pytorch_model.fp16.safetensors"
    save_file({name: value.half() for name, value in state.items()}, place / file)
    index = tmp_path / "x.safetensors.index.json"
    write_json(index, {"weight_map": dict.fromkeys(state, file)})
    shutil.copy(place / file, tmp_path)
    for checkpoint in (None, place, str(place), place / file, index):
        tokenizer = msdd.load("sd-vae-ft-mse", checkpoint=checkpoint)
        torch.testing.assert_close(tokenizer.encode(io["image"]), io["mean"], atol=1e-2, rtol=0)
        assert tokenizer.files.keys() == {file}


@pytest.mark.skipif(not any((c / "encoder.jit").exists() for c in cases("cosmos")), reason="no jit")
def test_cosmos_archives_need_consent(monkeypatch):
    system, state, io = of_case("cosmos-di16x16", test_cosmos)
    monkeypatch.setitem(SYSTEMS, "cosmos-di16x16", system)
    folder = cases("cosmos")[0]
    with pytest.raises(MsddError, match="encoder.jit is TorchScript.*--run-code"):
        msdd.load("cosmos-di16x16", checkpoint=folder)
    for named in (folder, folder / "decoder.jit"):
        tokenizer = msdd.load("cosmos-di16x16", checkpoint=named, run_code=True)
        assert torch.equal(tokenizer.encode(io["image"]), io["indices"])
        assert tokenizer.files.keys() == {"encoder.jit", "decoder.jit"}


def test_programs_are_for_cosmos_alone(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "autoencoder.jit")
    with pytest.raises(MsddError, match="is TorchScript, a program; only state dicts are read"):
        msdd.load("llamagen-16", checkpoint=tmp_path / "autoencoder.jit", run_code=True)
    with pytest.raises(MsddError, match="name the folder of encoder.jit and decoder.jit instead"):
        msdd.load("cosmos-di16x16", checkpoint=tmp_path / "autoencoder.jit", run_code=True)


def test_an_ssdd_on_an_sd_vae_takes_both_files(monkeypatch, tmp_path):
    (case, *_) = cases("klvae")
    values, vae, io = load_case(case)
    config = test_ssdd.SSDDConfig(values["config"], replace(test_ssdd.SMALL.decoder, latent_dim=4))
    system = replace(SYSTEMS["ssdd-sdvae-s"], config=lambda module: config)
    monkeypatch.setitem(SYSTEMS, "ssdd-sdvae-s", system)
    trained = test_ssdd.lively(config)
    decoder = {k: v for k, v in trained.state_dict().items() if k.startswith("decoder.")}
    save_file(decoder, tmp_path / "SDVAE_S_256.safetensors")
    with pytest.raises(MsddError, match="sd-vae-ft-mse: no weights on this machine"):
        msdd.load("ssdd-sdvae-s", checkpoint=tmp_path / "SDVAE_S_256.safetensors")
    place = hub.folders()[0] / "sd-vae-ft-mse"
    place.mkdir(parents=True)
    save_file(vae, place / "diffusion_pytorch_model.safetensors")
    tokenizer = msdd.load("ssdd-sdvae-s", checkpoint=tmp_path / "SDVAE_S_256.safetensors")
    torch.testing.assert_close(tokenizer.encode(io["image"]), io["mean"], atol=1e-4, rtol=0)
    assert torch.equal(tokenizer.decode(io["mean"]), trained.decode(io["mean"]))
    assert len(tokenizer.files) == 2


# What does not fit


def test_a_checkpoint_of_another_system_says_whose_it_is(tmp_path):
    *_, state, _ = of_case("flowmo-lo", test_flowmo)
    path = write(tmp_path / "x.pth", state, lambda state: {"model_ema_state_dict": state})
    with pytest.raises(MsddError) as error:
        msdd.load("llamagen-16", checkpoint=path)
    told = str(error.value)
    assert told.startswith(f"{path}: the weights do not fit LlamaGen: missing: encoder.conv_in")
    assert "unexpected: " in told and "\n" not in told
    assert told.endswith("; its tensors have the names of FlowMo")


def test_a_checkpoint_of_another_size_says_which(tmp_path, monkeypatch):
    """Every tensor without its bytes: a whole one has as many numbers as the table says."""
    module = import_module("msdd.tokenizers.flowmo")
    with torch.device("meta"):
        state = module.FlowMo(module.FLOWMO_HI).state_dict()
    one = torch.zeros(1)
    path = tmp_path / "flowmo_hi.pth"
    path.touch()
    whole = {k: one.expand(v.shape) for k, v in state.items()}
    monkeypatch.setattr("msdd.weights.official.read", lambda file: whole)
    with pytest.raises(MsddError) as error:
        msdd.load("flowmo-lo", checkpoint=path)
    assert "of another shape: encoder.txt_in.weight ([768, 56] instead of" in str(error.value)
    assert str(error.value).endswith("; its size is that of flowmo-hi")


def test_names_that_are_not_known():
    with pytest.raises(MsddError, match="did you mean .*titok-s-128"):
        msdd.load("titok-s128")
    with pytest.raises(MsddError, match="`msdd tokenizers` lists them"):
        msdd.load("runs/nothing/here")
    with pytest.raises(MsddError, match="name the folder of a trained model"):
        msdd.load("msdd")  # a name comes before a folder of that name


def test_no_checkpoint_says_where_to_get_one(tmp_path, monkeypatch):
    address = "hf://FoundationVision/LlamaGen/vq_ds16_c2i.pt"
    with pytest.raises(MsddError, match=address):
        msdd.load("llamagen-16")
    with pytest.raises(MsddError, match="its authors released no weights"):
        msdd.load("dito-xl")
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    with pytest.raises(
        MsddError, match=f"put encoder.jit and decoder.jit of .* into {tmp_path}/cosmos"
    ):
        msdd.load("cosmos-di16x16")
    decoder = tmp_path / "SDVAE_S_256.safetensors"
    save_file({}, decoder)
    with pytest.raises(MsddError, match="ssdd-sdvae-s decodes the latents of sd-vae.*no weights"):
        msdd.load("ssdd-sdvae-s", checkpoint=decoder)


@pytest.mark.parametrize("path", [str, Path])
def test_the_hub_out_of_reach_names_the_file(path):
    with pytest.raises(MsddError, match="hf://a/b/c/d.pt cannot be fetched .* get c/d.pt of a/b"):
        msdd.load("llamagen-16", checkpoint=path("hf://a/b/c/d.pt"))
    with pytest.raises(MsddError, match="hf:/+a: not of the form"):
        msdd.load("llamagen-16", checkpoint=path("hf://a"))
    with pytest.raises(MsddError, match="hf:/+a/b: name the file as well"):
        msdd.load("dito-b", checkpoint=path("hf://a/b"))
    with pytest.raises(MsddError, match="hf://a/b/encoder.jit cannot be fetched"):
        msdd.load("cosmos-di16x16", checkpoint=path("hf://a/b@main"))


def test_what_lies_here_needs_no_naming(monkeypatch, tmp_path):
    system, state, io = of_case("llamagen-16", test_llamagen)
    monkeypatch.setitem(SYSTEMS, "llamagen-16", system)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    path = tmp_path / "llamagen-16/vq_ds16_c2i.pt"
    path.parent.mkdir()
    torch.save({"model": state}, path)
    assert torch.equal(msdd.load("llamagen-16").encode(io["image"]), io["indices"])


# Settings, folders, random weights


def test_settings_of_the_decode(monkeypatch, tmp_path):
    system, state, _ = of_case("flowmo-lo", test_flowmo)
    monkeypatch.setitem(SYSTEMS, "flowmo-lo", system)
    path = write(tmp_path / "x.pth", state, lambda state: state)
    assert msdd.load("flowmo-lo", checkpoint=path).describe().nfe == 31
    tokenizer = msdd.load("flowmo-lo", checkpoint=path, steps=7, guidance=1)
    assert tokenizer.describe().nfe == 7
    with pytest.raises(MsddError, match="FlowMo has no jump to set"):
        msdd.load("flowmo-lo", checkpoint=path, jump="white")
    with pytest.raises(MsddError, match=r"guidance is \[1.5, 2\]; FlowMo takes one number"):
        msdd.load("flowmo-lo", checkpoint=path, guidance=(1.5, 2))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"steps": 0}, "steps is 0; it must be a number, 1 or more, or a list, one a scale"),
        ({"steps": 2.5}, "steps is 2.5; it must be a number, 1 or more"),
        ({"steps": [2, True]}, r"steps is \[2, True\]; it must be a number, 1 or more"),
        ({"steps": []}, r"steps is \[\]; it must be a number, 1 or more"),
        ({"guidance": float("nan")}, "guidance is nan; it must be a finite number"),
        ({"guidance": ["1"]}, r"guidance is \['1'\]; it must be a finite number"),
        ({"jump": "wihte"}, "jump is 'wihte'; did you mean white. known: white, paper_code"),
        ({"size": 256}, "size is 256; it must be crop or native"),
        ({"device": "gpu"}, "^device gpu is unknown; it may be cpu, cuda, cuda:1, mps or xpu"),
        ({"checkpoint": 3}, "checkpoint is 3; it must be a text or a path"),
        ({"name": None}, "name is None; it must be a text or a path"),
    ],
)
def test_arguments_that_are_not_allowed_are_named(arguments, told):
    with pytest.raises(MsddError, match=told):
        msdd.load(**{"name": "flowmo-lo"} | arguments)
    assert msdd.load.__name__ == "load"  # which help and tracebacks show


def test_a_model_folder_is_a_tokenizer(trained):
    folder = trained / "runs/msdd/stage1"
    tokenizer = msdd.load(folder, steps=4, guidance=1.5)
    assert tokenizer.describe().nfe == 8
    scales = len(tokenizer.steps)
    same = msdd.load(folder, steps=np.int64(4), guidance=(1.5,) * scales, jump="white")
    assert (same.steps, same.guidance) == (tokenizer.steps, tokenizer.guidance)
    weights = folder / "model.safetensors"
    assert tokenizer.files == {weights.name: digest(weights)}
    with pytest.raises(MsddError, match="it takes no checkpoint"):
        msdd.load(folder, checkpoint=weights)


def small(name: str) -> System:
    return replace(SYSTEMS[name], config=lambda module: test_ssdd.SMALL)


def test_random_weights_are_a_function_of_the_seed_and_leave_no_trace(monkeypatch):
    monkeypatch.setitem(SYSTEMS, "ssdd-f8c4-s", small("ssdd-f8c4-s"))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (catalogue.random_tokenizer("ssdd-f8c4-s", seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs) and all(a.any() for a, *_ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)
    assert one.files == {}
    with pytest.raises(MsddError, match="'msdd' has no one size"):
        catalogue.random_tokenizer("msdd")


@pytest.mark.parametrize("name", NAMED)
def test_random_weights_and_tables_are_on_the_device(name):
    """One without storage, as there may be no other here."""
    made = catalogue.random_tokenizer(name, device="meta")
    assert {part.device.type for part in (*made.parameters(), *made.buffers())} == {"meta"}


# The listing


def test_the_list_has_all_and_finds_what_is_here(monkeypatch, tmp_path):
    from msdd.commands import tokenizers
    from msdd.health import networks

    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    path = tmp_path / "flowmo-lo/flowmo_lo.pth"
    path.parent.mkdir()
    path.touch()
    rows = {row["name"]: row for row in tokenizers.rows_of_systems()}
    assert rows.keys() == SYSTEMS.keys()
    assert {name: row["here"] for name, row in rows.items() if row["here"]} == {
        "flowmo-lo": [str(path)]
    }
    assert len(rows["ssdd-sdvae-s"]["weights"]) == 2
    halves = [tmp_path / "taef2" / half for half in SYSTEMS["taef2"].halves]
    halves[0].parent.mkdir()
    for half in halves:
        half.touch()
    rows = {row["name"]: row for row in tokenizers.rows_of_systems()}
    assert rows["taef2"]["here"] == list(map(str, halves))
    assert "2 of " in networks.tokenizers().text and "taef2" in networks.tokenizers().text
    assert all(rows[name]["licence_of_weights"] for name in rows)


def test_the_list_is_quick_and_needs_no_torch(tmp_path):
    import subprocess

    code = (
        "import sys; from msdd import cli; cli.main(['tokenizers']); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stderr == "False\n"
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : len(SYSTEMS) + 1]] == list(SYSTEMS)
