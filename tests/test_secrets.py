"""No secret of the environment reaches a file or a terminal, whatever goes wrong with a server."""

import os
import subprocess
import sys
from pathlib import Path

from msdd.health import project
from msdd.urls import shown, without_secrets

SECRET = "s3cr3t-w0rd"
QUOTED = "p%40ss-w0rd"  # of p@ss-w0rd, as it stands in a URL
SECRETS = (SECRET, QUOTED, "p@ss-w0rd")
HTTP = f"http://user:{QUOTED}@127.0.0.1:1/mlflow?token={SECRET}"
NAMES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")
TRAIN = """
from msdd.tracking.run import Run
with Run(".", "a", "stage1", {}) as run:
    run.log(1, {"x": 1})
"""
COMMANDS = (
    ("track",),
    ("mlflow",),
)


def test_no_command_tells_a_secret(tmp_path):
    own = dict.fromkeys(NAMES, SECRET) | {"MLFLOW_TRACKING_URI": HTTP, "HF_HUB_OFFLINE": "1"}
    own |= {"HF_ENDPOINT": f"http://user:{QUOTED}@127.0.0.1:1"}
    own |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    own |= {"PYTHONPATH": str(Path(__file__).parents[1])}
    told = run([sys.executable, "-c", TRAIN], own, tmp_path)
    for command in COMMANDS:
        told += run([sys.executable, "-m", "msdd", *command], own, tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(".tracking" in path.parts for path in written)
    for secret in SECRETS:
        assert secret not in told
        assert not [path for path in written if secret.encode() in path.read_bytes()]


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
    for plain in ("sqlite:///mlflow.db", "hf://owner/name@main/folder", "s3://bucket/key", "~/a"):
        assert shown(plain) == plain


def test_a_text_is_told_without_secrets_of_the_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("SOMEWHERE", f"https://user:{QUOTED}@host/x")
    given = f"401 for url: https://user:word@host/x?sig=1 ({SECRET}, {QUOTED}, p@ss-w0rd)"
    assert without_secrets(given) == "401 for url: https://***@host/x (***, ***, ***)"
