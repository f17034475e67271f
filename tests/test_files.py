"""A file is whole or not there: what was there before survives every failure, and nothing else is left."""

import builtins
import errno
import io
import os
import stat
import struct
import sys

import numpy as np
import pytest

from mmcore.errors import CorruptError
from mmcore.files import replacing, stored_arrays, unwritable

posix = pytest.mark.skipif(os.name == "nt", reason="permissions and folders of POSIX")


class Failure(Exception):
    pass


def test_the_new_file_takes_the_old_ones_place(tmp_path):
    path = tmp_path / "state"
    for content in (b"old", b"newer"):
        with replacing(path) as file:
            file.write(content)
            assert not path.exists() or path.read_bytes() == b"old"
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize("error", [Failure, KeyboardInterrupt])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("step", ["write", "flush", "fsync", "copymode", "replace"])
def test_a_failure_at_any_step_leaves_what_was_there(tmp_path, monkeypatch, step, there, error):
    path = tmp_path / "state"
    if there:
        path.write_bytes(b"old")

    def fail(*_):
        raise error

    if step == "replace":
        monkeypatch.setattr(os, "replace", fail)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif step == "copymode":
        monkeypatch.setattr("shutil.copymode", fail)
    elif step == "flush":  # the disk is full when the buffer goes there

        class Full(io.BufferedWriter):
            flush = fail

        monkeypatch.setattr(builtins, "open", lambda name, mode: Full(io.FileIO(name, "x")))

    def write():
        with replacing(path) as file:
            file.write(b"new")
            if step == "write":
                raise error

    with pytest.raises(error):
        write()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == (["state"] if there else [])
    assert not there or path.read_bytes() == b"old"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "none" / "state"):
        pass
    assert caught.value.filename == str(tmp_path / "none" / "state")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), replacing(tmp_path / "folder"):
        pass
    assert os.listdir(tmp_path) == ["folder"]


@posix
def test_permissions_stay_and_links_are_followed(tmp_path):
    path, link = tmp_path / "state", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with replacing(tmp_path / "fresh") as file:
        file.write(b"new")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "fresh").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
def test_file_and_folder_reach_the_disk_in_the_right_order(tmp_path, monkeypatch):
    steps = []
    real = {"fsync": os.fsync, "replace": os.replace}

    def fsync(handle):
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else os.fstat(handle).st_size)
        real["fsync"](handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append("renamed"), real["replace"](*names)))
    with replacing(tmp_path / "state") as file:
        file.write(b"12345")
    assert steps == [5, "renamed", "folder"]


@posix
@pytest.mark.parametrize(("error", "raises"), [("EINVAL", False), ("EIO", True)])
def test_a_file_system_without_folders_on_disk_is_no_failure_but_a_broken_disk_is(
    tmp_path, monkeypatch, error, raises
):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(getattr(errno, error), error)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if raises:
        with pytest.raises(OSError, match="EIO"), replacing(tmp_path / "state") as file:
            file.write(b"new")
    else:
        with replacing(tmp_path / "state") as file:
            file.write(b"new")
    assert (tmp_path / "state").read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="has no /dev/null")
def test_what_is_no_file_is_written_as_it_is():
    assert unwritable(os.devnull) is None
    with replacing(os.devnull) as file:
        file.write(b"gone")
    assert not os.path.isfile(os.devnull)


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    assert unwritable(tmp_path) == "a file, not a folder"
    assert unwritable(tmp_path / "no" / "page") == "in a folder that exists"
    assert unwritable(tmp_path / "page") is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert unwritable(tmp_path / "page") == "in a folder that can be written"


def test_arrays_are_whole_or_refused(tmp_path):
    path = tmp_path / "two.npz"
    np.savez_compressed(path, a=np.arange(50), b=np.ones((3, 2)))
    whole = path.read_bytes()
    found = stored_arrays(path)
    assert {name: array.tolist() for name, array in found.items()} == {
        "a": list(range(50)),
        "b": [[1.0, 1.0]] * 3,
    }
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptError, match=r"two\.npz"):
            stored_arrays(path)
    for place in range(0, 8 * len(whole), 11):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            again = stored_arrays(path)
        except CorruptError:
            continue
        # A zip's directory has no checksum: names may change in it, or go.
        assert {repr(array) for array in again.values()} <= {repr(array) for array in found.values()}
    np.save(tmp_path / "one.npy", np.array([{}], dtype=object))
    with pytest.raises(CorruptError, match="pickle"):
        stored_arrays(tmp_path / "one.npy")
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    shape = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**58},), }}"
    (tmp_path / "one.npy").write_bytes(head + shape.encode().ljust(117) + b"\n")
    with pytest.raises(CorruptError):  # an exabyte
        stored_arrays(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError):
        stored_arrays(tmp_path / "none.npz")
