"""What engines write down of a job holds no secret that the job was given."""

import io
import tarfile
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from checkouts import RAW, project, run
from PIL import Image
from ranges import web

LOGIN, SIGNED, QUERY = "us3r:p%40ss-w0rd", "s1gn3d-w0rd", "qu3ry-w0rd"
SECRETS = {
    "LOGIN": LOGIN,
    "SIGNED": SIGNED,
    "AWS_ACCESS_KEY_ID": "acc3ss-w0rd",
    "AWS_SECRET_ACCESS_KEY": "k3y/of+w0rds",
    "AWS_SESSION_TOKEN": "s3ssion-w0rd",
    "HF_TOKEN": "hf_t0ken-w0rd",
    "MLFLOW_TRACKING_PASSWORD": "mlfl0w-w0rd",
}
COMMANDS = (
    ("snakemake", "--cores", "1", "--verbose", "--printshellcmds", "prepare"),
    ("dvc", "repro", "--verbose", "prepare"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_engine_writes_a_secret_down(tmp_path, command):
    """Of photographs behind a login and a signature, which the job has opened; nor tells it."""
    (tmp_path / "photos").mkdir()
    archive(tmp_path / "photos/a.tar")
    with web(tmp_path / "photos", denied=SIGNED) as server:
        url = f"http://$LOGIN@{urlsplit(server).netloc}/a.tar?sig=$SIGNED"
        folder = project(tmp_path / "work", RAW | {"data": RAW["data"] | {"photographs": url}})
        there = f"http://{LOGIN}@127.0.0.1:1/mlflow?token={QUERY}"
        homes = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        told = run(folder, *command, MLFLOW_TRACKING_URI=there, **SECRETS, **homes)
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {".snakemake", "dvc.lock"} & {part for path in written for part in path.parts}
    for secret in (*SECRETS.values(), LOGIN.split(":")[1], unquote(LOGIN.split(":")[1]), QUERY):
        assert secret not in told
        assert not [path for path, content in written.items() if secret.encode() in content]


def archive(path):
    """A tar of six photographs."""
    with tarfile.open(path, mode="w") as tar:
        for seed in range(6):
            coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            picture = io.BytesIO()
            Image.fromarray(coarse).resize((96, 96)).save(picture, "PNG")
            member = tarfile.TarInfo(f"{seed}.png")
            member.size = picture.tell()
            tar.addfile(member, io.BytesIO(picture.getvalue()))
