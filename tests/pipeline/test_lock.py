import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from msdd.errors import MsddError
from msdd.pipeline import lock

HOLDER = """if True:
    import sys, time; from msdd.pipeline import lock
    with lock.hold(sys.argv[1]):
        print("held", flush=True)
        time.sleep(600)"""

DELETER = """if True:
    import os, sys, time; from msdd.pipeline import lock
    path, seconds = sys.argv[1], float(sys.argv[2])
    end, held = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with lock.attempt(path) as free:
            if free:
                os.close(os.open(path + ".inside", os.O_CREAT | os.O_EXCL))  # fails if another is
                time.sleep(0.0005)
                os.unlink(path + ".inside")
                os.unlink(path)
                held += 1
    print(held)"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of an artefact."""
    path = tmp_path / "checkpoints" / "runs" / "msdd" / "stage1" / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield path, process
        process.kill()


def test_second_process_is_refused_with_the_holder(holder):
    path, process = holder
    with pytest.raises(MsddError) as refusal, lock.hold(path):
        pass
    message = str(refusal.value)
    assert f"process {process.pid} on {os.uname().nodename} since " in message
    assert "runs/msdd/stage1" in message and "\n" not in message
    with lock.attempt(path) as free:
        assert not free


def test_killed_holder_leaves_no_lock(holder):
    path, process = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock.hold(path):
        assert re.search(rf'"pid": {os.getpid()}\b', path.read_text())


def test_holder_may_delete_the_folder(tmp_path):
    path = tmp_path / "artefact" / "lock"
    with lock.hold(path):
        shutil.rmtree(path.parent)
        with lock.attempt(path) as free:  # the name is free again, and this is another file
            assert free
    with lock.hold(path):
        pass


def test_waiting_is_a_queue_even_if_the_file_is_deleted(tmp_path):
    path, order = tmp_path / "lock", []

    def second():
        with lock.wait(path):
            order.append("second")
            with lock.attempt(path) as free:
                order.append(free)

    with lock.hold(path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
        path.unlink()
    thread.join(60)
    assert order == ["first", "second", False]


def test_nobody_gets_the_lock_of_a_deleted_file(tmp_path):
    """Two processes at once, each deleting what it holds: never are both inside."""
    command = [sys.executable, "-c", DELETER, str(tmp_path / "lock"), "1"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert all(process.returncode == 0 for process in both) and all(map(int, told))


def test_a_waiting_process_gets_the_file_that_is_there(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER.replace("lock.hold", "lock.wait"), str(path)]
    with lock.hold(path), subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        time.sleep(0.5)  # it polls by now
        path.unlink()
        assert process.stdout.readline() == b"held\n"  # of a new file, beside the deleted one
        with pytest.raises(MsddError, match=f"process {process.pid} on"), lock.hold(path):
            pass
        process.kill()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    refused = pytest.raises(MsddError, match="lock: this file system gives no locks")
    with refused, lock.hold(tmp_path / "lock"):
        pass
