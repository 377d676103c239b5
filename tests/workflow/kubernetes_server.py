"""As much of a Kubernetes API server as the executor plugin talks to, over HTTP.

It keeps the manifests of jobs and, like a cluster whose volume is this disk, runs their containers.
"""

import json
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml


class Server(ThreadingHTTPServer):
    """`jobs`: the manifests by name, as they came; `done`: the status of those that have ended."""

    def __init__(self, environment):
        super().__init__(("127.0.0.1", 0), Handler)
        self.environment, self.jobs, self.done = environment, {}, {}

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def config(self, path):
        """Write a kubeconfig for this server."""
        address = f"http://127.0.0.1:{self.server_port}"
        one = {
            "clusters": [{"name": "one", "cluster": {"server": address}}],
            "users": [{"name": "one", "user": {}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        }
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "current-context": "one"} | one))

    def carry_out(self, job):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        command = [*container["command"], *container["args"]]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command, cwd=folder, env=self.environment)
        self.done[job["metadata"]["name"]] = {"failed" if done.returncode else "succeeded": 1}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/jobs"):
            self.server.jobs[body["metadata"]["name"]] = body
            threading.Thread(target=self.server.carry_out, args=[body]).start()
        self.answer(body)

    def do_GET(self):
        name = self.path.split("/")[-2]
        self.answer(
            {"items": []} if "/pods" in self.path else {"status": self.server.done.get(name, {})}
        )

    def do_DELETE(self):
        self.answer({})

    def answer(self, body):
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
