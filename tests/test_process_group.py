"""Processes that cannot meet are told at once, with the address."""

import socket

import pytest
import torch

from msdd.errors import MsddError
from msdd.evaluate import distributed
from msdd.train import team


@pytest.mark.parametrize(
    "join", [lambda: team.join(torch.device("cpu")), distributed.join], ids=["train", "evaluate"]
)
def test_a_port_that_is_taken_is_named(join, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        for name, value in (environment | {"MASTER_PORT": port}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(MsddError, match=f"the 2 processes cannot meet at 127.0.0.1:{port}: "):
            join()


def test_an_environment_without_an_address_is_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(MsddError, match=r"cannot meet at \?:\?: .*MASTER_ADDR"):
        distributed.join()


@pytest.mark.parametrize("room", [team, distributed], ids=["train", "evaluate"])
def test_a_fault_of_nccl_itself_is_told(room, monkeypatch):
    """Of which no other process has said anything."""
    monkeypatch.setattr(team, "PATIENCE", 0)
    monkeypatch.setattr(team, "no_more_requests", lambda: None)
    lines = "NCCL error in: NCCLUtils.cpp:94\nncclSystemError: it failed\nLast error:\nno interface"
    told = "ncclSystemError: it failed Last error: no interface"
    with pytest.raises(MsddError, match=told), room.awaiting_others():
        raise RuntimeError(lines)
