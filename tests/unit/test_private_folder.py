"""Sockets live only where no other user of the host can reach or replace them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq

from drivers.outlets.openigtlink import Outlet
from drivers.registry import load_source
from gating.settings.config import EndpointSettings
from gating.settings.private_folder import check_private, runtime_folder
from gating.wire.keys import KeyProblem, load_keyring, new_key
from gating.wire.security import check_listening, secure
from gating.wire.sockets import bind, dial, subscribe

OTHER_USER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


@pytest.fixture
def context():
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


def opening(how, context, folder):
    endpoint = f"ipc://{folder}/gate"
    return {
        "bind": lambda: bind(context, zmq.PUB, endpoint),
        "subscribe": lambda: subscribe(context, endpoint),
        "dial": lambda: dial(context, endpoint),
    }[how]


@pytest.mark.parametrize("how", ["bind", "subscribe", "dial"])
def test_a_folder_that_others_may_write_to_is_refused(how, context, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match=r"others may write to folder .* \(mode 777\); 700 is needed"):
        opening(how, context, tmp_path)()


@pytest.mark.parametrize("how", ["bind", "subscribe", "dial"])
def test_a_link_to_a_folder_is_refused(how, context, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError, match="is a link"):
        opening(how, context, tmp_path / "link")()


@as_root
@pytest.mark.parametrize("how", ["bind", "subscribe", "dial"])
def test_a_folder_of_another_user_is_refused(how, context, tmp_path):
    os.chown(tmp_path, OTHER_USER, OTHER_USER)
    with pytest.raises(PermissionError, match=f"belongs to user {OTHER_USER}, not to 0"):
        opening(how, context, tmp_path)()


def test_a_folder_that_others_may_replace_is_refused(tmp_path):
    own = tmp_path / "open" / "own"
    own.mkdir(mode=0o700, parents=True)
    own.parent.chmod(0o777)
    with pytest.raises(PermissionError, match="others may replace folder"):
        check_private(own)


@as_root
def test_a_folder_below_another_users_is_refused(tmp_path):
    own = tmp_path / "theirs" / "own"
    own.mkdir(mode=0o700, parents=True)
    os.chown(own.parent, OTHER_USER, OTHER_USER)
    with pytest.raises(PermissionError, match=f"another may replace folder .* belongs to user {OTHER_USER}"):
        check_private(own)


@as_root
def test_a_folder_behind_another_users_link_is_refused(tmp_path):
    (tmp_path / "real" / "own").mkdir(mode=0o700, parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.lchown(tmp_path / "link", OTHER_USER, OTHER_USER)
    with pytest.raises(PermissionError, match="another may replace folder"):
        check_private(tmp_path / "link" / "own")


@pytest.mark.parametrize("how", ["bind", "subscribe", "dial"])
def test_a_client_makes_the_folder_before_anybody_else_can(how, context, tmp_path):
    opening(how, context, tmp_path / "new")().close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_an_abstract_socket_is_refused(context):
    with pytest.raises(PermissionError, match="is in no folder"):
        bind(context, zmq.PUB, "ipc://@gate")


def test_sockets_live_in_the_users_own_runtime_folder(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert EndpointSettings().gate == f"ipc://{tmp_path}/cinegate/gate"


def test_a_runtime_folder_of_others_is_not_used(tmp_path, monkeypatch):
    tmp_path.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == Path(f"/tmp/cinegate-{os.geteuid()}")


@pytest.mark.parametrize("name", ["allowed.toml", "engine.pub", "."])
def test_keys_that_others_may_replace_are_refused(name, tmp_path):
    for role in ("source", "engine", "beam", "recorder", "operator"):
        new_key(tmp_path, role)
    (tmp_path / name).chmod(0o777)
    with pytest.raises(KeyProblem, match="others may write to"):
        load_keyring(tmp_path, "engine", EndpointSettings())


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "example.org", "lo", "127.1", "::ffff:127.0.0.1"])
def test_listening_beyond_this_host_must_be_allowed(host):
    secure(None)
    with pytest.raises(PermissionError, match="allow_open_network = true"):
        check_listening(host)
    secure(None, open_network_allowed=True)
    check_listening(host)
    secure(None)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_listening_on_this_host_is_always_allowed(host):
    check_listening(host)


@pytest.mark.parametrize("name", ["mrd", "openigtlink", "dicom"])
def test_no_source_listens_beyond_this_host_unless_allowed(name):
    driver = load_source(name)
    settings = {"host": "0.0.0.0", "port": 0} | ({"listen": True} if name == "openigtlink" else {})
    known = set(driver.Settings.__struct_fields__)
    source = driver(driver.Settings(**{key: value for key, value in settings.items() if key in known}))
    with pytest.raises(Exception, match="allow_open_network"):
        source.open()


def test_the_outlet_does_not_listen_beyond_this_host_unless_allowed():
    with pytest.raises(Exception, match="allow_open_network"):
        Outlet(EndpointSettings(), "0.0.0.0", 0).run(lambda: True)


def test_every_listening_socket_obeys_the_rule():
    root = Path(__file__).parents[2]
    listening = [
        path.relative_to(root).as_posix()
        for room in ("cinegate", "drivers", "gating")
        for path in (root / room).rglob("*.py")
        if any(call in path.read_text("utf-8") for call in ("create_server(", ".start_server(", ".listen("))
    ]
    listening.remove("cinegate/console/serve.py")  # it checks who connects, and has its own, stricter rule
    assert [name for name in listening if "check_listening(" not in (root / name).read_text("utf-8")] == []
