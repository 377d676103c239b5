"""Jobs as the Kubernetes executor submits them: they fit the API's schema, and run.

Skipped without the packages: `pip install -e ".[cluster]"`; the storage plugin needs rsync.
"""

import shutil
import sys

import pytest
from checkouts import ENVIRONMENT, RAW, project, run
from kubernetes_server import Server

from msdd.files import read_json
from msdd.pipeline import layout

validate = pytest.importorskip("kubernetes_validate")
pytest.importorskip("snakemake_executor_plugin_kubernetes")
pytest.importorskip("snakemake_storage_plugin_fs")
pytestmark = pytest.mark.skipif(not shutil.which("rsync"), reason="needs rsync")

MODEL, BASELINE = "runs/msdd/stage1/model.safetensors", "runs/baseline/eval/mean-colour.json"
OPTIONS = ("--container-image", "msdd:1", "--seconds-between-status-checks", "1", "--retries", "0")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """The manifests of three jobs, and the volume where they have run; here it is not at /msdd."""
    volume = project(tmp_path_factory.mktemp("volume") / "checkout", RAW)
    profile = volume / "profiles/kubernetes/profile.yaml"
    profile.write_text(profile.read_text().replace("/msdd", str(volume)))
    code = {"PYTHONPATH": str(volume)}
    with Server(ENVIRONMENT | code | {"MSDD_DEVICE": "cpu"}) as server:
        server.config(volume / "kubeconfig")
        profiles = ("--workflow-profile", "profiles/kubernetes")
        command = (sys.executable, "-m", "snakemake", MODEL, BASELINE, *profiles, *OPTIONS)
        run(volume, *command, KUBECONFIG="kubeconfig", **code)
        yield list(server.jobs.values()), volume


def test_manifests_fit_the_schema_of_the_api(submitted):
    manifests, _ = submitted
    assert len(manifests) == 3
    for manifest in manifests:  # the server knows both from the address that it was sent to
        whole = {"apiVersion": "batch/v1", "kind": "Job"} | manifest
        validate.validate(whole, "1.30", strict=True)


def test_a_job_asks_for_a_gpu_memory_and_the_volume(submitted):
    asked = [container(manifest)["resources"]["limits"] for manifest in submitted[0]]
    assert sorted(limits.get("nvidia.com/gpu", "0") for limits in asked) == ["0", "1", "1"]
    assert sorted(limits["memory"] for limits in asked) == ["2000M", "8000M", "8000M"]
    places = [mount["mountPath"] for mount in container(submitted[0][0])["volumeMounts"]]
    assert str(submitted[1]) in places


def container(manifest):
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return only


def test_results_and_what_outlives_a_pod_are_on_the_volume(submitted):
    _, volume = submitted
    assert (volume / MODEL).exists() and (volume / BASELINE).exists()
    assert (volume / layout.checkpoint(layout.stage1("msdd"))).is_dir()
    assert read_json(volume / layout.provenance(layout.stage1("msdd")))["engine"] == "snakemake"
