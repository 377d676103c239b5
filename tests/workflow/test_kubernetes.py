"""Jobs as the Kubernetes executor submits them: they fit the API's schema, and run.

Skipped without the packages: `pip install -e ".[cluster]" kubernetes-validate`.
"""

import sys

import pytest
from checkouts import RAW, project, run
from kubernetes_server import Server

kubernetes_validate = pytest.importorskip("kubernetes_validate")
pytest.importorskip("snakemake_executor_plugin_kubernetes")

VERSION = "1.30"
TARGETS = ("runs/msdd/stage1/model.safetensors", "runs/baseline/eval/mean-colour.json")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """The manifests of jobs, and the volume where they have run; its place is not /msdd here."""
    volume = project(tmp_path_factory.mktemp("volume") / "v", RAW)
    profile = volume / "profile.yaml"
    text = (volume / "profiles/kubernetes/profile.yaml").read_text()
    profile.write_text(text.replace("/msdd", str(volume)))
    with Server() as server:
        server.config(volume / "kubeconfig")
        options = ("--workflow-profile", str(profile), "--container-image", "msdd:1")
        status = (
            "--seconds-between-status-checks",
            "1",
            "--set-resources",
            "train:gpu=0",
            "baseline:gpu=0",
        )
        command = (
            sys.executable,
            "-m",
            "snakemake",
            *TARGETS,
            *options,
            *status,
            "--retries",
            "0",
            "--verbose",
        )
        print(run(volume, *command, KUBECONFIG="kubeconfig", PYTHONPATH=str(volume)))
        yield server.jobs, volume


def test_all(submitted):
    import yaml

    print(yaml.safe_dump(submitted[0]))
