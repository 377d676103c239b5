"""Codes and latents of an evaluation: what they are, and where there are none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from coded import CELL, RULES, SIDE, Grey, Growing, Means, entry, grey, run
from faded import CPU, evaluated
from forked import of_first
from PIL import Image

from msdd.data.centre_crops import CROPS
from msdd.data.photographs import read_photograph
from msdd.data.pixels import from_uint8
from msdd.errors import MsddError
from msdd.evaluate import distributed, protocols
from msdd.evaluate.function import evaluate
from msdd.evaluate.latent_sums import (
    CodeCounts,
    Encoded,
    LatentMoments,
    by_position,
    new_sums,
    sums_from,
)
from msdd.evaluate.named import Decoding, through_own
from msdd.evaluate.sources import Subject
from msdd.tokenizers.flowmo import FLOWMO_LO
from msdd.tokenizers.own import Own

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def crops_of(folder) -> torch.Tensor:
    paths = sorted(folder.iterdir())
    crops = [CROPS["adm"](Image.fromarray(read_photograph(path)), SIDE) for path in paths]
    return from_uint8(torch.from_numpy(np.stack([np.asarray(x) for x in crops]))).permute(
        0, 3, 1, 2
    )


@pytest.mark.parametrize("name", ["grey", "short"])
def test_codes_are_those_that_were_decoded(photographs, tmp_path, capsys, name):
    assert run(photographs, name, "codes: true", tmp_path) == 0
    counts = grey.encode(crops_of(photographs)).flatten().bincount(minlength=16)
    share = counts[counts > 0] / counts.sum()
    found, tokens = entry(tmp_path), (SIDE // CELL) ** 2
    entropy = -(share * share.log2()).sum().item()
    assert found["metrics"]["codebook_usage"] == (counts > 0).sum().item() / 16
    assert found["metrics"]["code_entropy"] == pytest.approx(entropy, rel=1e-6)
    assert found["metrics"]["codebook_perplexity"] == pytest.approx(2**entropy, rel=1e-6)
    assert found["metrics"]["code_bits"] == pytest.approx(tokens * entropy, rel=1e-6)
    assert found["codes"]["nominal_bits"] == 4 * tokens
    assert found["codes"]["dead_codes"] == (counts == 0).nonzero().flatten().tolist()
    assert "codebook used ↑" in capsys.readouterr().out


def test_latents_have_the_moments_of_a_slow_version(photographs, tmp_path):
    assert run(photographs, "means", "latents: true", tmp_path) == 0
    found, latents = entry(tmp_path)["latents"], Means().encode(crops_of(photographs)).double()
    rows = latents.movedim(1, -1).flatten(0, -2)
    expected = {
        "mean": rows.mean(0),
        "std": rows.std(0, correction=0),
        "std_in_image": latents.flatten(2).var(-1, correction=0).mean(0).sqrt(),
        "eigenvalues": torch.linalg.eigvalsh(rows.T.cov()).flip(0),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.tolist(), rel=1e-6), name
    assert (found["channels"], found["positions"]) == (3, (SIDE // CELL) ** 2)


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        (
            "beyond",
            "codes: true",
            "the tokenizer encoded china to the index 16: its codebook has 16 codes, 0 to 15",
        ),
        ("diverged", "latents: true", "astronaut.png contains inf; the model that"),
        ("growing", "latents: true", "latents have 6 channels here, and had 3 channels in the"),
    ],
)
def test_what_is_no_code_or_latent_ends_with_a_line(
    photographs, tmp_path, capsys, name, keys, said
):
    """That names the image: of five only the third, in the middle of a batch, has such an index."""
    assert run(photographs, name, keys, tmp_path, "--batch", "4") == 1
    progress, _, error = capsys.readouterr().err.strip().rpartition("\nmsdd: error: ")
    assert said in error and "\n" not in error and "error" not in progress


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("means", "codes: true", "the latents are continuous"),
        ("grey", "latents: true", "the latents are indices of a codebook"),
        ("unsized", "codes: true", "no attribute `codes`"),
        ("white", "codes: true, latents: true", "no latents were seen"),
    ],
)
def test_where_there_are_none_a_line_says_so(photographs, tmp_path, name, keys, said):
    assert run(photographs, name, keys, tmp_path) == 0
    report = json.loads((tmp_path / "m.json").read_text())
    assert all(said in report["not_measured"][part.split(":")[0]] for part in keys.split(", "))


def coded_subject(reconstruct=None) -> Subject:
    through = through_own(Own("grey", Grey(), CPU), CPU, Decoding())
    return Subject({"tokenizer": "grey"}, SIDE, reconstruct or through)


def meaning_subject(reconstruct=None) -> Subject:
    through = through_own(Own("means", Means(), CPU), CPU, Decoding())
    return Subject({"tokenizer": "means"}, SIDE, reconstruct or through)


def report_of(folder, chosen, subject):
    return evaluated(folder, chosen, distributed.join(), subject())


@pytest.fixture
def chosen(tmp_path) -> dict:
    (tmp_path / "r.yaml").write_text(RULES.format("codes: true, latents: true, bpp: true"))
    return protocols.load([str(tmp_path / "r.yaml")])


@pytest.mark.parametrize("subject", [coded_subject, meaning_subject])
def test_several_processes_count_the_same(photographs, chosen, subject):
    alone = evaluated(photographs, chosen, subject=subject())
    for size in (2, 4):
        found = of_first(size, report_of, photographs, chosen, subject)
        assert json.dumps(found) == json.dumps(alone)
    assert alone["protocols"]["mine"].keys() & {"codes", "latents"}


@pytest.mark.parametrize("subject", [coded_subject, meaning_subject])
def test_a_stopped_run_goes_on(photographs, chosen, tmp_path, subject):
    whole, seen = evaluated(photographs, chosen, subject=subject()), []

    def stopping(images, names):
        seen.append(names)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return subject().reconstruct(images, names)

    how = {"work": tmp_path, "subject": subject(stopping)}
    with pytest.raises(KeyboardInterrupt):
        evaluated(photographs, chosen, **how)
    assert json.dumps(evaluated(photographs, chosen, **how)) == json.dumps(whole)
    assert len(seen) == 4 and ("bpp" in whole["protocols"]["mine"]["metrics"]) == (
        subject is coded_subject
    )


def test_latents_that_are_refused_leave_what_was_measured(photographs, chosen, tmp_path, capsys):
    """As of a tokenizer whose channels change: the state that is kept is a whole one."""

    def through(growing):
        decode = through_own(Own("means", growing, CPU), CPU, Decoding())
        return meaning_subject(decode)

    with pytest.raises(MsddError, match="channels"):
        evaluated(photographs, chosen, work=tmp_path, subject=through(Growing()))
    whole = evaluated(photographs, chosen, subject=meaning_subject())
    capsys.readouterr()
    assert evaluated(photographs, chosen, work=tmp_path, subject=meaning_subject()) == whole
    assert "damaged" not in capsys.readouterr().err


def test_several_codebooks_count_apart():
    """As FlowMo's: the first index of each token is 0 or 1, the second always 3."""
    counts = CodeCounts(2, 4)
    counts.update(torch.tensor([[[0, 3], [1, 3]], [[1, 3], [0, 3]]]))
    assert dict(zip(counts.seen.tolist(), counts.times.tolist(), strict=True)) == {0: 2, 2: 2, 7: 4}
    assert counts.about()["dead_codes"] == [[2, 3], [0, 1, 2]]
    assert counts.metrics()["code_bits"] == pytest.approx(2 * 1)
    assert counts.about()["nominal_bits"] == pytest.approx(2 * 2 * 2)
    assert FLOWMO_LO.bits // FLOWMO_LO.group == 2


def test_codebooks_without_a_table_are_counted_by_what_came():
    """As those of BSQ, whose 2^36 codes no table holds; in parts and as a whole alike."""
    whole, first, second = (CodeCounts(1, 2**36) for _ in range(3))
    indices = torch.randint(2**36, (40, 16), generator=torch.Generator().manual_seed(0))
    indices[1::2] = indices[::2]
    for counts, some in ((whole, indices), (second, indices[:10]), (first, indices[10:])):
        counts.update(some)
    first.merge(sums_from(second.state_dict()))
    for name, kept in whole.state_dict().items():
        assert torch.equal(kept, first.state_dict()[name])
    assert whole.metrics()["codebook_perplexity"] == pytest.approx(320)
    assert whole.about()["dead"] == 2**36 - 320 and whole.about()["dead_codes"] is None
    with pytest.raises(MsddError, match="2 codebooks of .* cannot be counted"):
        new_sums(Encoded(torch.zeros(1, 2, dtype=torch.int64), 2**62, 2))


@pytest.mark.parametrize("shape", [(2, 5), (2, 7, 5), (2, 5, 3, 4)])
def test_channels_are_the_last_axis_of_tokens_and_the_first_of_maps(shape):
    sums = LatentMoments(5)
    sums.update(torch.randn(shape))
    assert by_position(torch.zeros(shape)).shape[-1] == 5 == sums.about()["channels"]


def test_latents_in_memory_are_measured_too(tmp_path):
    (tmp_path / "r.yaml").write_text(RULES.format("codes: true"))
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    report = evaluate(grey, images, protocol=str(tmp_path / "r.yaml"))
    assert report["protocols"]["mine"]["codes"]["tokens"] == (SIDE // CELL) ** 2


def test_indices_without_a_size_are_not_told():
    assert not Encoded(torch.zeros(2, 3, dtype=torch.int32)).told
    assert Encoded(torch.zeros(2, 3)).told


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_what_a_generator_normalises_by_is_exported(photographs, tmp_path, ending):
    file = tmp_path / f"latents.{ending}"
    assert run(photographs, "means", "latents: true", tmp_path, "--export-latents", str(file)) == 0
    found = np.load(file) if ending == "npz" else json.loads(file.read_text())
    latents = Means().encode(crops_of(photographs))
    mean, std = (torch.tensor(np.array(found[name]))[:, None, None] for name in ("mean", "std"))
    rows = ((latents - mean) / std).movedim(1, 0).flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows.std(1, correction=0), torch.ones(3).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "keys", "file", "said"),
    [
        ("means", "codes: true", "a.npz", "--export-latents needs a protocol"),
        ("means", "latents: true", "a.pt", "must end with .npz or .json"),
        ("grey", "latents: true", "a.npz", "is not written: the latents are indices"),
    ],
)
def test_what_cannot_be_exported_is_told(photographs, tmp_path, capsys, name, keys, file, said):
    more = ("--export-latents", str(tmp_path / file))
    assert run(photographs, name, keys, tmp_path, *more) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / file).exists()


def test_the_protocol_of_the_page_measures_all_five(photographs, tmp_path):
    """Faces are too small here, or the packages that would see them are missing."""
    page = (Path(__file__).parents[2] / "docs" / "codes-classes-text.md").read_text()
    (tmp_path / "page.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    chosen = protocols.load([str(tmp_path / "page.yaml")])
    report = evaluated(photographs, chosen, None, skip=True)
    assert report["protocols"]["kept"]["metrics"].keys() == {"class_agreement"}
    unmeasured = report["not_measured"].keys()
    assert len(unmeasured & {"faces", "face_same"}) == 1
    assert unmeasured > {"codes", "latents", "top1", "text_accuracy"}
