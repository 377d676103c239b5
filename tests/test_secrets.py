"""No secret of the environment reaches a file or a terminal, whatever goes wrong with a server."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command import msdd
from echoing import echoing

from msdd.health import project
from msdd.params import presets
from msdd.params.plain_yaml import read_yaml
from msdd.urls import has_secret, shown, without_secrets

SECRET = "s3cr3t-w0rd"
QUOTED = "p%40ss-w0rd"  # of p@ss-w0rd, as it stands in a URL
QUERY, USER = "qu3ry-w0rd", "us3r-w0rd"
SENT = base64.b64encode(b"user:p@ss-w0rd").decode()  # as a server is told it
SECRETS = (SECRET, QUOTED, "p@ss-w0rd", QUERY, USER, SENT)
HTTP = f"http://user:{QUOTED}@127.0.0.1:1/mlflow?token={SECRET}"
NAMES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")
NAMES += ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "WANDB_API_KEY", "CI_PAT")
TRAIN = """
from msdd.tracking.run import Run
with Run(".", "a", "stage1", {}) as run:
    run.log(1, {"x": 1})
"""
COMMANDS = (
    ("track",),
    ("mlflow",),
    ("prepare",),
    ("prepare", "--debug"),
    ("reconstruct", "photos", "out", "--tokenizer", "hf://owner/name", "--debug"),
    ("reconstruct", "photos", "out", "--tokenizer", "mlflow:/abc/model"),
    ("reconstruct", "photos", "out", "--tokenizer", "taef2", "--checkpoint", "http://h/a?b={}"),
)
SIGNED = "http://$LOGIN@{}/a.tar?sig=$MINE"


@pytest.mark.parametrize(
    ("photographs", "commands"), [("s3://bucket/a.tar", COMMANDS), (SIGNED, COMMANDS[2:4])]
)
def test_no_command_tells_a_secret(tmp_path, photographs, commands):
    """Not even where a server sends back all that it was told."""
    with echoing() as server:
        use(tmp_path, photographs.format(server))
        own = environment(tmp_path, server)
        told = run([sys.executable, "-c", TRAIN], own, tmp_path)
        for command in commands:
            words = [word.format(SECRET) for word in command]
            told += msdd(tmp_path, *words, **own)[1]
    assert told.count("error") >= len(commands)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(".tracking" in path.parts for path in written), told
    for secret in SECRETS:
        assert secret not in told
        assert not [path for path in written if secret.encode() in path.read_bytes()]


def use(folder: Path, photographs: str) -> None:
    raw = read_yaml(presets.find("tiny", folder))
    raw["data"]["photographs"] = photographs
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    (folder / "photos").mkdir()


def environment(folder: Path, server: str) -> dict[str, str]:
    own = dict.fromkeys(NAMES, SECRET) | {"MINE": SECRET, "LOGIN": f"user:{QUOTED}"}
    own |= {"MSDD_TRACKING": ""}
    own |= {"MLFLOW_TRACKING_URI": f"http://user:{QUOTED}@{server}/mlflow?token={QUERY}"}
    own |= {"HF_ENDPOINT": f"http://{USER}@{server}", "AWS_ENDPOINT_URL": f"http://{server}"}
    own |= {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder / "home")}
    return own | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }


def run(command: list, own: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=os.environ | own, cwd=folder, capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def test_doctor_shows_the_server_without_its_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", HTTP)
    (found,) = project.tracking(tmp_path)
    assert "http://***@127.0.0.1:1/mlflow" in str(found)
    assert not any(secret in str(found) for secret in SECRETS)


def test_a_url_is_shown_without_its_secret():
    assert shown("http://user:word@host:5000/a?b=c#d") == "http://***@host:5000/a"
    assert shown("postgresql+psycopg2://u:p@w@host/runs") == "postgresql+psycopg2://***@host/runs"
    assert shown("postgresql://u:p/w?x@host/runs") == "postgresql://***@host/runs"  # SQLAlchemy's
    assert has_secret("https://u:p/w@host/a") and not has_secret("https://u:$PASSWORD@host/a")
    assert shown("https:/host/a#token=b") == "https:/host/a"  # a path has lost a slash
    signed = "https://host/a?names=host;date&sig=b"
    assert without_secrets(f"({signed}); next") == "(https://host/a); next"
    for plain in (
        "sqlite:///mlflow.db",
        "hf://owner/name@main/folder",
        "s3://bucket/key",
        "~/a",
        "http://h:80/a@b",
    ):
        assert shown(plain) == plain


def test_a_text_is_told_without_secrets_of_the_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("STORE_CONNECTION_STRING", "AccountName=me;AccountKey=k3y-of-store==")
    assert without_secrets("me: k3y-of-store==, Basic dXNlcjp4, Basic words") == (
        "me: ***, Basic ***, Basic words"
    )
    monkeypatch.setenv("SOMEWHERE", f"https://user:{QUOTED}@host/x")
    given = f"401 for url: https://user:word@host/x?sig=1 ({SECRET}, {QUOTED}, p@ss-w0rd)"
    assert without_secrets(given) == "401 for url: https://***@host/x (***, ***, ***)"
