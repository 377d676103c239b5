import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from msdd.errors import MsddError
from msdd.pipeline import lock

HOLDER = """if True:
    import sys, time; from msdd.pipeline import lock
    with lock.hold(sys.argv[1]):
        print("held", flush=True)
        time.sleep(60)"""


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
    thread.join(5)
    assert order == ["first", "second", False]
