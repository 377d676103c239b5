"""Photographs by URL: those of a folder on disk, read in place, and secrets kept out of sight."""

import re
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from archived import encoded, imagenet, parquet, tar, unpacked
from ranges import Web, web

from msdd.commands.stages import run_stage
from msdd.data import digests, remote
from msdd.data.photographs import divided, sources
from msdd.data.sources import photographs, source
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.params.checks import cross_checks
from msdd.params.sections import Data

KEYS = {"AWS_ACCESS_KEY_ID": "msdd", "AWS_SECRET_ACCESS_KEY": "S3CR3T"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A server that speaks S3, with an empty bucket `photos`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        named = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in (named | KEYS).items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="photos")
        yield client
    server.stop()


@pytest.fixture
def stores(tmp_path, request):
    """`stores(protocol, folder)`: a store with what is in a folder on disk; its URL."""

    @contextmanager
    def there(protocol, folder):
        if protocol == "http":
            with web(folder) as url:
                yield url
            return
        if protocol == "s3":
            request.getfixturevalue("s3")
        put(protocol, folder, tmp_path.name)
        bucket = {"memory": "", "file": f"{folder}", "s3": "photos/"}[protocol]
        yield f"{protocol}://{bucket}{'' if protocol == 'file' else tmp_path.name}"

    return there


def put(protocol, folder, place):
    """Put all files of a folder into a store, again if they are there."""
    import boto3
    import fsspec

    if protocol not in ("memory", "s3"):
        return  # the folder itself is the store
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key, content = f"{place}/{path.relative_to(folder)}", path.read_bytes()
            if protocol == "memory":
                fsspec.filesystem("memory").pipe(f"/{key}", content)
            else:
                boto3.client("s3").put_object(Bucket="photos", Key=key, Body=content)


PROTOCOLS = ["memory", "file", "http", "s3"]


def read(value):
    return {one.name: one.read() for one in photographs(source(".", value, "data.photographs"))}


@pytest.fixture
def filled(tmp_path):
    """The same six images in every form."""
    folder = tmp_path / "store"
    unpacked(folder / "images", imagenet())
    (folder / "images/notes.txt").write_text("no image")
    tar(folder / "train.tar", imagenet())
    for name, images in imagenet().items():
        tar(folder / "classes" / name, images)
    for k in range(2):
        files = {f"{k}{i}.{kind}": encoded(3 * k + i) for i in range(3) for kind in ("jpg", "cls")}
        tar(folder / f"shards/train-{k:06d}.tar", files)
        parquet(folder / f"data/train-{k}.parquet", [encoded(3 * k + i) for i in range(3)])
    return folder


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_form_holds_what_it_holds_on_disk(filled, stores, protocol):
    with stores(protocol, filled) as url:
        for form in ("train.tar", "shards/train-{000000..000001}.tar", "data/train-{0,1}.parquet"):
            assert read(f"{url}/{form}") == read(filled / form), form
        for form in ("images/", "classes/"):
            assert read(f"{url}/{form}") == read(filled / form), form
        if protocol != "http":  # whose servers list no pattern
            assert len(read(f"{url}/data/train-*.parquet")) == 6
            assert read(f"{url}/s*ds/train-*{{0..1}}.tar") == read(filled / "shards/train-*.tar")
            assert len(read(f"{url}/**/train-*.parquet")) == 6
            assert read(f"{url}/images") == read(filled / "images")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_are_those_on_disk(stores, protocol, tmp_path):
    """Else a folder of the web has another split than the same one on a disk."""
    unpacked(tmp_path, {"named": {f"a {k}+[1] é.png": encoded(k) for k in range(3)}})
    with stores(protocol, tmp_path / "named") as url:
        assert read(f"{url}/") == read(tmp_path / "named")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("form", ["train.tar", "images/"])
def test_a_change_is_seen_without_reading(filled, stores, protocol, form, tmp_path):
    with stores(protocol, filled) as url:
        data = SimpleNamespace(photographs=f"{url}/{form}", held_out=None, held_out_fraction=0.4)
        before = digests.of_photographs(data, tmp_path)
        assert digests.of_photographs(data, tmp_path) == before
        next((filled / "images").rglob("*.JPEG")).write_bytes(encoded(40, size=(40, 30)))
        tar(filled / "train.tar", imagenet(30))
        put(protocol, filled, tmp_path.name)
        assert digests.of_photographs(data, tmp_path) != before
        assert not (tmp_path / ".photographs.sqlite").exists()


def test_an_archive_is_read_by_parts(tmp_path):
    """Names cost a block for each image, and an image its own bytes."""
    noise = {f"{k}.jpg": encoded(k, size=(400, 300)) for k in range(20)}
    size = tar(tmp_path / "train.tar", noise).stat().st_size
    with web(tmp_path) as url:
        Web.sent = 0
        found = photographs(source(".", f"{url}/train.tar", "data.photographs"))
        assert len(found) == 20 and Web.sent <= 22 * remote.BLOCK < size / 2
        Web.sent = 0
        assert found[3].read() == noise[found[3].name]
        assert Web.sent == found[3].size


def params(tiny, **changes):
    data = tiny.data.model_dump() | {"crop": "adm", "train_crops": None, "held_out_crops": None}
    data |= {"resolution": 16, "store": "photographs", "crop_side": (0.8, 1.0)}
    return tiny.model_copy(update={"data": Data(**data | changes)})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prepared_from_a_store_are_the_bytes_of_the_disk(
    filled, stores, protocol, tmp_path, tiny_params
):
    """Also by several jobs; and nothing is stale afterwards."""
    made = {}
    with stores(protocol, filled) as url:
        for where, value in (("disk", str(filled / "images")), ("store", f"{url}/images/")):
            given = params(tiny_params, photographs=value, held_out_fraction=0.4)
            if where == "store":
                given = given.model_copy(update={"prepare_jobs": 2})
                for part in range(2):
                    run_stage(given, "scatter", tmp_path / where, part=part)
            run_stage(given, "prepare", tmp_path / where)
            made[where] = read_json(tmp_path / where / "data/prepared/manifest.json")
        assert digests.changes(given.data, tmp_path / "store").endswith("6 files, unchanged")
        assert made["store"]["digest"] == made["disk"]["digest"]
        now = digests.of_photographs(given.data, tmp_path / "store")
    if protocol == "http":  # the server is gone
        assert digests.of_photographs(given.data, tmp_path / "store") == now


@pytest.mark.parametrize("protocol", ["memory", "file", "s3"])
def test_names_are_those_of_the_disk(tmp_path, stores, protocol):
    """Also where a URL would end or a variable begin; hidden files are left out."""
    folder = tmp_path / "store"
    for k, name in enumerate(("a b.jpg", "pr$ice.jpg", "${HOME}.jpg", "why?.jpg", "#1/ü.jpg")):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(k))
    (folder / "images/._x.jpg").write_bytes(b"")
    with stores(protocol, folder) as url:
        found = read(f"{url}/images")
    assert found == read(folder / "images") and len(found) == 5


def test_both_sides_in_one_store_stand_apart(filled, stores):
    with stores("memory", filled) as url:
        for train, held_out in (("classes/", "classes/n01440764.tar"), ("images", "images/")):
            data = SimpleNamespace(photographs=f"{url}/{train}", held_out=f"{url}/{held_out}")
            with pytest.raises(MsddError, match="contain each other"):
                sources(data, Path())
        data = SimpleNamespace(photographs=f"{url}/classes/", held_out=f"{url}/train.tar")
        assert [len(side) for side in divided(sources(data, Path()), data).values()] == [6, 6]


def test_a_variable_stands_for_a_secret_that_is_never_told(filled, tmp_path, tiny_params, capsys):
    secret = "S3CR3T/+="
    with pytest.MonkeyPatch.context() as patch, web(filled, denied="S3CR3T") as url:
        url = f"{url}/train.tar?$QUERY"
        given = params(tiny_params, photographs=url, held_out_fraction=0.4)
        assert list(cross_checks(given)) == []
        with pytest.raises(MsddError, match="the environment has no variable QUERY: set it"):
            run_stage(given, "prepare", tmp_path)
        patch.setenv("QUERY", f"signature={secret}")
        run_stage(given, "prepare", tmp_path)
        patch.setenv("QUERY", "signature=WR0NG/+=")
        with pytest.raises(MsddError) as raised:
            run_stage(given, "prepare", tmp_path)
        assert "?$QUERY: access was denied" in str(raised.value)
    with pytest.raises(MsddError) as gone, pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUERY", f"signature={secret}")
        run_stage(given, "prepare", tmp_path)
    told = f"{raised.value} {gone.value} {capsys.readouterr()}"
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".tar"]
    texts = [told, *(path.read_bytes().decode("latin-1") for path in written)]
    assert not any(word in text for text in texts for word in ("S3CR3T", "WR0NG"))
    assert any("?$QUERY" in text for text in texts[1:])


def test_a_signature_that_a_server_redirects_to_is_not_told(filled):
    """As the Hub does for its large files."""
    with web(filled, moved="Signature=S3CR3T") as url:
        assert len(read(f"{url}/train.tar")) == 6
    denied = pytest.raises(MsddError, match=r"train.tar: access was denied \(HTTP 403\)")
    with web(filled, moved="Signature=S3CR3T", denied="nothing") as url, denied as raised:
        read(f"{url}/train.tar")
    assert "S3CR3T" not in str(raised.value)


SECRET = ["https://me:S3CR3T@host/a.tar", "https://S3CR3T@host/a.tar", "s3://k:S3CR3T@bucket/a.tar"]
SECRET += ["https://host/a.tar?X-Amz-Signature=S3CR3T", "https://host/a.tar?S3CR3T"]
SECRET += ["https://me:$NAME@host/a.tar?key=S3CR3T", "filecache::https://me:S3CR3T@host/a.tar"]


@pytest.mark.parametrize("url", SECRET)
@pytest.mark.parametrize("key", ["photographs", "held_out"])
def test_a_secret_in_the_params_is_refused(tiny_params, url, key):
    data = tiny_params.data.model_copy(update={key: url})
    (line,) = cross_checks(tiny_params.model_copy(update={"data": data}))
    assert line.startswith(f"data.{key} is a ") and "S3CR3T" not in line


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/a.tar", "https://host/a.tar?$QUERY", "https://me:${PASSWORD}@host/a.tar"]
    + ["https://host/a.tar?key=$KEY&sig=$SIG", "az://c@account.dfs.core.windows.net/a.tar"],
)
def test_a_url_without_one_is_taken(tiny_params, url):
    data = tiny_params.data.model_copy(update={"photographs": url})
    assert list(cross_checks(tiny_params.model_copy(update={"data": data}))) == []


WRONG = {
    "memory://nowhere/none.tar": "data.photographs: there is no archive memory://nowhere/none.tar",
    "memory://nowhere/none": "data.photographs: there is no folder memory://nowhere/none",
    "memory://nowhere/none.tar.gz": "there is no folder memory://nowhere/none.tar.gz",
    "s3://photos/none.tar": "there is no archive s3://photos/none.tar",
    "s3://nobucket/none/": "there is no folder s3://nobucket/none/",
    "nosuch://host/a.tar": "nosuch://host/a.tar: nosuch:// is unknown to fsspec",
    "gs://bucket/a.tar": "gs://bucket/a.tar: gs:// needs a package that is missing here",
    "http://127.0.0.1:9/a.tar": "http://127.0.0.1:9/a.tar: the store does not answer",
    "http://127.0.0.1:9/a/": "http://127.0.0.1:9/a/: the store does not answer",
}


@pytest.mark.parametrize("url", WRONG)
def test_what_is_wrong_is_one_line_with_the_url(s3, url):
    with pytest.raises(MsddError, match=re.escape(WRONG[url])) as raised:
        read(url)
    assert "\n" not in str(raised.value)


def test_missing_credentials_are_told(s3, monkeypatch):
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(remote, "_SHARED", {})
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(MsddError, match="s3://photos/other.tar: access was denied.*AWS_ACCESS_KEY"):
        read("s3://photos/other.tar")


def test_a_server_without_parts_is_told(filled):
    with web(filled, ranges=False) as url, pytest.raises(MsddError, match="sends whole files"):
        read(f"{url}/train.tar")


def test_a_store_that_fails_costs_no_photograph(filled):
    """Else a network that is gone for a moment would leave photographs out."""
    with web(filled) as url:
        found = photographs(source(".", f"{url}/train.tar", "data.photographs"))
        more = photographs(source(".", f"{url}/images/", "data.photographs"))
    for one in (found[0], more[0]):
        with pytest.raises(MsddError, match="does not answer as it should") as raised:
            one.read()
        assert type(raised.value) is MsddError
