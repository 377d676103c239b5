"""MLflow's own programs on what was delivered: its page in a browser, its server of models."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from servers import free_port, running

from msdd.data.pixels import from_uint8, to_uint8
from msdd.model.config import ModelConfig
from msdd.pipeline import layout
from msdd.tokenizers.msdd import Student, load
from msdd.tracking import view
from msdd.tracking.delivery import deliver
from msdd.tracking.run import Run
from msdd.weights import model_folder

DOCS = Path(__file__).parents[2] / "docs" / "mlflow.md"
MARKUP = "<img src=x onerror=alert(1)> שלום"
FIGURES = {"psnr": 24.5, "images_per_second": 3.0}


def decode(name):
    tags = {"group": "comparison", "row": name}
    return {"name": name, "key": f"key of {len(name)}", "params": {}, "tags": tags, "decode": name}


@pytest.fixture
def folder(root) -> Path:
    """A student of 16 px with random weights, none of them zero."""
    sizes = {"patch": 4, "encoder_patch": 4, "width": 32, "depth": 1, "heads": 2}
    config = ModelConfig(
        resolution=16, scales=2, latents=16, latent_dim=4, positions="grid", **sizes
    )
    torch.manual_seed(0)
    student = Student(config)
    for p in student.parameters():
        torch.nn.init.normal_(p, std=0.1)
    (root / "student").mkdir()
    model_folder.save(root / "student", "student", config, student.state_dict())
    return root / "student"


@pytest.fixture
def delivered(root, client, folder):
    """Two decodes with figures and pictures, one of them with a model; two trainings."""
    for name in ("student", MARKUP):
        with Run(root, "row", "evaluate", {}, part=str(len(name)), parents=[decode(name)]) as run:
            run.figures(FIGURES)
            run.image("reconstructions", np.zeros((2, 8, 8, 3), np.uint8))
            if name == "student":
                files = [folder / file for file in layout.MODEL_FILES]
                run.model(name, files, {"steps": [1, 1], "guidance": 1.0}, 16)
    for name in ("slow", "quick"):
        with Run(root, name, "stage1", {}, tags={"group": "training"}) as run:
            run.image("progress", np.zeros((2, 16, 8, 3), np.uint8), 0, above=False)
            run.image("progress", np.ones((2, 16, 8, 3), np.uint8), 64, above=False)
            run.log(64, {"loss": 0.5})
    deliver(root)
    return root


@pytest.mark.slow
def test_the_page_shows_decodes_side_by_side(delivered, client):
    """Charts and columns at once; pictures of trainings from their start, by step; a name of markup
    is a text; no script fails."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    page_at = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", "sqlite:///mlflow.db"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    links = view.links(page_at, client.get_experiment_by_name("msdd").experiment_id)
    with running(command, delivered, f"{page_at}/health", **quiet), api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        page.set_default_timeout(120_000)
        said, asked = [], []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(links["comparison"])
        for text in ("student", MARKUP):
            page.get_by_role("link", name=text, exact=True).wait_for()
        charts = page.get_by_test_id("experiment-view-compare-runs-chart-area")
        charts.locator(".js-plotly-plot").nth(1).wait_for()
        shown = charts.inner_text()
        assert "psnr" in shown and "images_per_second" in shown
        assert "24.5" in charts.inner_html()
        page.goto("about:blank")
        page.goto(links["table"])
        page.get_by_role("columnheader", name="psnr").first.wait_for()
        page.goto("about:blank")
        with page.expect_request(re.compile(r"progress%2Bstep%2B0%2B")):
            page.goto(links["trainings"])
        page.get_by_role("slider").focus()
        with page.expect_request(re.compile(r"progress%2Bstep%2B64%2B")):
            page.keyboard.press("ArrowRight")
        browser.close()
    assert not said
    assert all(url.startswith((page_at, "data:", "blob:", "about:")) for url in asked)


@pytest.mark.slow
def test_a_model_is_served_as_the_docs_say(delivered, folder):
    """By its alias, for one image and for three: what the tokenizer makes of them."""
    port = free_port()
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    serve, ask = re.findall(r"```sh\n(mlflow models serve.*?|curl.*?)\n```", DOCS.read_text(), re.S)
    command = [sys.executable, "-m", *serve.replace("5001", str(port)).split()]
    here = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    place = f"http://127.0.0.1:{port}"
    with running(command, delivered, f"{place}/health", **here):
        for batch in (images[:1], images):
            body = json.dumps({"inputs": batch.tolist()}).encode()
            (delivered / "request.json").write_bytes(body)
            shell = ["bash", "-c", ask.replace("5001", str(port))]
            said = subprocess.run(shell, cwd=delivered, capture_output=True, check=True).stdout
            answer = np.array(json.loads(said)["predictions"], np.uint8)
            pixels = from_uint8(torch.from_numpy(batch).permute(0, 3, 1, 2))
            made = to_uint8(load(folder).reconstruct(pixels)).permute(0, 2, 3, 1)
            assert np.abs(answer.astype(int) - made.numpy()).max() <= 1
        wrong = Request(f"{place}/invocations", b'{"inputs": [[1]]}', method="POST")
        wrong.add_header("Content-Type", "application/json")
        with pytest.raises(OSError, match="400"):
            urlopen(wrong, timeout=60)


def test_a_stored_model_has_no_pickle(delivered, client):
    (model,) = client.search_logged_models([client.get_experiment_by_name("msdd").experiment_id])
    files = {path.name for path in (delivered / "mlartifacts").rglob(f"{model.model_id}/**/*")}
    assert {"MLmodel", "config.json", "model.safetensors", "decode.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pth", ".bin"))]
    assert client.get_model_version_by_alias("msdd", "student").version == 1
