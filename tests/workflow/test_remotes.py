"""Results from and to a remote: a folder, and S3 from a server on this machine."""

import socket
import subprocess
import sys
import time

import engines
import pytest
from checkouts import clone, results
from dvc.config import NoRemoteError

SECRETS = {"access_key_id": "msdd", "secret_access_key": "msdd"}


@pytest.fixture
def folder(tmp_path):
    return {"url": tmp_path / "remote"}


@pytest.fixture
def s3():
    """A bucket of a server that speaks S3; its access keys are whatever one likes."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    there = {"endpointurl": f"http://127.0.0.1:{port}", "region": "us-east-1", **SECRETS}
    make_bucket(there, "results")
    yield {"url": "s3://results/msdd", **there}
    server.terminate()
    server.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def make_bucket(there, name):
    import boto3
    from botocore.exceptions import EndpointConnectionError

    keys = {"aws_access_key_id": "msdd", "aws_secret_access_key": "msdd"}
    client = boto3.client(
        "s3", endpoint_url=there["endpointurl"], region_name=there["region"], **keys
    )
    for _ in range(600):
        try:
            return client.create_bucket(Bucket=name)
        except EndpointConnectionError:
            time.sleep(0.1)
    raise TimeoutError


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_results_come_from_a_remote(kind, runs, tmp_path, request):
    """What was pulled is done for DVC, and for Snakemake once it has been told."""
    remote = request.getfixturevalue(kind)
    theirs, _ = runs["dvc"]
    fresh = clone(theirs, tmp_path / "fresh")
    for checkout in (theirs, fresh):
        use_remote(checkout, remote)
    engines.push(theirs)
    engines.pull(fresh)
    assert results(fresh) == results(theirs)
    assert engines.dvc_changed(fresh) == set()
    engines.touch(fresh)
    assert engines.snakemake_stale(fresh) == set()


def use_remote(checkout, remote):
    lines = ["[core]", "remote = there", "['remote \"there\"']"]
    lines += [f"{name} = {value}" for name, value in remote.items()]
    (checkout / ".dvc/config.local").write_text("\n".join(lines))


def test_no_remote_is_told_with_the_way_to_one(runs, tmp_path):
    theirs, _ = runs["dvc"]
    with pytest.raises(NoRemoteError, match="dvc remote add -d"):
        engines.push(clone(theirs, tmp_path / "fresh"))
