"""`msdd mlflow`: MLflow's page, opened at the comparison of all decodes."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from importlib.util import find_spec
from urllib.request import urlopen

from msdd.commands.parser import examples
from msdd.errors import MsddError
from msdd.urls import shown, without_secrets

PORT = 5000
PATIENCE = 300  # seconds; a busy machine takes minutes to import MLflow


def add(commands: argparse._SubParsersAction) -> None:
    about = "open MLflow's page at the comparison of all decodes; ends with Ctrl-C"
    texts = {"description": about, "epilog": examples("msdd mlflow")}
    command = commands.add_parser("mlflow", help=about, **texts)
    command.set_defaults(call=run)


def run(args: argparse.Namespace) -> None:
    """Deliver what waits, serve the pipeline's own database, print the links and open the first.

    Another server, of MLFLOW_TRACKING_URI, is not started.
    """
    if find_spec("mlflow") is None:  # its import takes seconds, and the server is a process anyway
        raise ModuleNotFoundError(name="mlflow")
    from msdd.tracking import delivery, store

    uri = store.address(".")
    print(delivery.deliver(".", patient=True), flush=True)
    if uri.startswith("http"):
        tell(uri, shown(uri))
        return
    port = free_port()
    server = start(uri, port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server would stay
    try:
        page = f"http://127.0.0.1:{port}"
        wait(server, page)
        tell(uri, page)
        server.wait()
    except KeyboardInterrupt:
        print()
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """MLflow's own port, or any other if somebody has it."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", PORT))
        except OSError:
            one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(uri: str, port: int) -> subprocess.Popen:
    """MLflow's server for this machine alone, without workers for jobs that nobody has here."""
    place = ["--host", "127.0.0.1", "--port", str(port)]
    address = {"MLFLOW_BACKEND_STORE_URI": uri}  # everybody may see the arguments of a process
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", *place, "--workers", "1"]
    return subprocess.Popen(command, env=quiet | os.environ | address, stdout=subprocess.DEVNULL)


def wait(server: subprocess.Popen, page: str) -> None:
    """Until the server answers. Raises MsddError if it ends or takes too long."""
    patience = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < patience:
        try:
            with urlopen(f"{page}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise MsddError(f"MLflow's server at {page} does not answer; see its output above")


def tell(uri: str, page: str) -> None:
    """Print the links; open the first where there is a screen."""
    from msdd.tracking import store, view

    try:
        found = store.client_at(uri).get_experiment_by_name(store.name())
    except Exception as error:  # MLflow and its clients raise errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        told = f"MLflow at {shown(uri)} does not list its experiments: {without_secrets(reason)}"
        raise MsddError(f"{told}; `msdd doctor` looks at what it needs") from error
    if found is None:
        print(f"{page}: no runs yet; `make demo` makes some", flush=True)
        return
    links = view.links(page, found.experiment_id)
    print(*(f"{name:12}{link}" for name, link in links.items()), sep="\n", flush=True)
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(links["comparison"])
