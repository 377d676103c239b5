"""Protocols as data: the built-in ones, a user's, and what is wrong with a file."""

import re
from typing import get_args

import pytest

from msdd.errors import MsddError
from msdd.evaluate.protocols import builtin, choose, load
from msdd.params import sections
from msdd.params.checks import WITHOUT_PSNR

NAMES = {
    "primary",
    "extended",
    "msdd",
    "llamagen",
    "ssdd",
    "flowmo",
    "dito",
    "titok",
    "vavae",
    "rae",
    "dc-ae",
    "gigatok",
    "l-detok",
}


def test_every_fact_of_the_built_in_ones_has_its_source():
    found = load(builtin())
    assert found.keys() == NAMES
    for name, protocol in found.items():
        dumped = protocol.model_dump(exclude_none=True, exclude={"sources", "kid"}).items()
        facts = [key for key, value in dumped if value is not False]
        if name not in ("primary", "extended"):
            assert {*facts, "quantisation", "reference"} <= protocol.sources.keys()
            # The others are of the same commit.
            assert re.search(r" [0-9a-f]{7}\b.*\w\.py: ", protocol.sources["crop"]), name


def test_params_name_all_built_in_ones_and_know_which_have_no_psnr():
    assert set(get_args(sections.ProtocolName)) == NAMES
    without = {name for name, protocol in load(builtin()).items() if protocol.psnr is None}
    assert set(WITHOUT_PSNR) == without


def test_a_few_lines_make_a_protocol(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "adm-flowmo: { base: flowmo, crop: adm, kid: true }\n"
        "short: { crop: adm, ssim: { quantisation: none, range: 1 } }\n"
    )
    found = load(["dito", str(file)])
    assert list(found) == ["dito", "adm-flowmo", "short"]
    mine, flowmo = found["adm-flowmo"], load(["flowmo"])["flowmo"]
    assert mine == flowmo.model_copy(update={"crop": "adm", "kid": True})
    assert found["short"].fid is None and found["short"].psnr is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: { crop: box }", "a: crop is \"box\"; it should be 'adm', 'bilinear'"),
        (
            "a: { crop: adm, psnr: { quantisation: round, pool: 0 } }",
            "psnr.pool is 0; it should be greater than",
        ),
        ("a: { crop: adm, psnr: { quantisation: rund, pool: 1 } }", 'psnr.quantisation is "rund"'),
        (
            "a: { crop: adm, ssim: { quantisation: round, rnge: 1 } }",
            "ssim.rnge .* did you mean range",
        ),
        (
            "a: { crop: adm, psnr: { levels: round, pool: 1 } }",
            "psnr.levels is now psnr.quantisation: rename the key",
        ),
        ("a: { base: [primary] }", r"a: base is \['primary'\]; it must be the name of a protocol"),
        ("a: { base: flomo }", "a: base is flomo; did you mean flowmo. known: primary"),
        ("a: { base: dito, fid: null, kid: true }", "a: kid is true; it needs fid"),
        ("- adm", "must be a table of protocols by name"),
        ("{}", "holds no protocol"),
        ("a: { crop: adm }", "a: has no metric; it needs one of psnr, ssim"),
        ("primary: { base: dito }", "the name primary is taken"),
    ],
)
def test_mistakes_name_key_and_value(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(MsddError, match=f"mine.yaml: .*{message}|mine.yaml: {message}"):
        load([str(file)])


def test_unknown_names_are_told():
    with pytest.raises(
        MsddError, match="--protocol mssd is unknown; did you mean ssdd. known: primary, extended"
    ):
        load(["mssd"])
    with pytest.raises(MsddError, match="there is no file nothing.yaml"):
        load(["nothing.yaml"])


def test_a_name_is_one_protocol(tmp_path):
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file in files:
        file.write_text("mine: { base: dito }")
    with pytest.raises(MsddError, match="b.yaml: the name mine is taken"):
        load(map(str, files))


def test_files_take_the_metric_half():
    whole = load(["flowmo"])["flowmo"]
    half = whole.for_files()
    assert half.psnr.pool == 5 and half.fid.resize == "pytorch_fid"
    assert {
        half.psnr.quantisation,
        half.ssim.quantisation,
        half.lpips.quantisation,
        half.fid.quantisation,
    } == {"none"}


def test_another_network_is_never_called_inception():
    primary = load(["primary"])["primary"]
    assert primary.fid.name == "fd_inception"
    assert primary.with_features("efficientnet-lite0").fid.name == "fd_efficientnet_lite0"
    without = primary.with_features("none")
    assert without.fid is None and not without.kid


def test_features_without_a_distance_are_refused(tmp_path):
    (tmp_path / "own.yaml").write_text("own: { crop: adm, psnr: { quantisation: round, pool: 1 } }")
    with pytest.raises(MsddError, match="features 'inception' mean nothing"):
        choose([str(tmp_path / "own.yaml")], "inception")
    assert choose([str(tmp_path / "own.yaml")], "none")
