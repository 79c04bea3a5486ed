"""The server of a listening test: what it hands out, stores and refuses."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.listening import make_test, result_of
from vampnet.errors import ListeningError
from vampnet.evaluation.listening.results import MAX_RESULT_BYTES, load_results
from vampnet.evaluation.listening.serve import ListeningServer, ResultStore

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListeningServer]:
    root = tmp_path_factory.mktemp("serve")
    make_test(root, "preference", items=("one",))
    (root / "test" / "secret.txt").write_text("secret")
    with ListeningServer(root / "test", root / "results.sqlite", port=0) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    server: ListeningServer, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


def result(server: ListeningServer, number: int) -> dict[str, Any]:
    return result_of(server.test, number, lambda trial, order: {"answer": order[0]})


def post(server: ListeningServer, body: Any) -> tuple[int, str]:
    return ask(server, "POST", "/results", body if isinstance(body, (str, bytes)) else json.dumps(body), JSON)[:2]


def test_hands_out_page_and_audio(server: ListeningServer) -> None:
    status, page, headers = ask(server, "GET", "/?seed=3")
    assert status == 200 and '<meta name="submit-url" content="results">' in page
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Server"] == "vampnet "
    assert ask(server, "GET", "/index.html")[1] == page
    status, script, headers = ask(server, "GET", f"/audio/{server.test.stimuli[0].id}.js")
    assert status == 200 and script.startswith("vampnetAudio(") and "javascript" in headers["Content-Type"]
    status, text, headers = ask(server, "HEAD", "/")
    assert (status, text, int(headers["Content-Length"])) == (200, "", len(page.encode()))


@pytest.mark.parametrize(
    "path",
    [
        *("/test.json", "/secret.txt", "/audio/", "/audio/../test.json", "/../results.sqlite", "//etc/passwd"),
        *("/audio/%2e%2e/test.json", "/%2e%2e/results.sqlite", "/audio/..%2ftest.json", "/results", "/audio/x.js"),
    ],
)
def test_hands_out_nothing_else(server: ListeningServer, path: str) -> None:
    assert ask(server, "GET", path)[:2] == (404, "no such page\n")


def test_stores_a_result_once(server: ListeningServer) -> None:
    one = result(server, 1)
    before = server.store.count()
    assert post(server, one) == (201, "stored\n")
    assert post(server, json.dumps(one, indent=3)) == (200, "stored already\n")
    assert post(server, one | {"resumed": 1})[0] == 409
    assert server.store.count() == before + 1
    with ThreadPoolExecutor(8) as pool:
        answers = [status for status, _ in pool.map(lambda k: post(server, result(server, 100 + k % 5)), range(20))]
    assert sorted(answers) == [200] * 15 + [201] * 5


def test_stored_results_can_be_read(server: ListeningServer, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "r.sqlite")
    assert store.add(result(server, 1)) and not store.add(result(server, 1))
    with sqlite3.connect(tmp_path / "r.sqlite") as database:
        database.execute("INSERT INTO results VALUES ('x', 'y', 'z', '{}')")
    found, refused = load_results(server.test, tmp_path / "r.sqlite")
    assert found == [result(server, 1)] and len(refused) == 1


def test_refuses_what_is_no_result(server: ListeningServer) -> None:
    before = server.store.count()
    good = result(server, 50)
    assert post(server, "{")[0] == 400 and post(server, "[" * 50000)[0] == 400 and post(server, b"\xff\xfe")[0] == 400
    assert post(server, good | {"test": "0" * 16})[0] == 422
    status, text = post(server, good | {"trials": good["trials"][1:]})
    assert status == 422 and "1 are missing" in text
    assert post(server, " " * (MAX_RESULT_BYTES + 1))[0] == 413
    assert ask(server, "POST", "/results", json.dumps(good), {"Content-Type": "text/plain"})[0] == 415
    assert ask(server, "POST", "/", json.dumps(good), JSON)[0] == 404
    assert ask(server, "PUT", "/results", json.dumps(good), JSON)[0] == 501
    for length in ("-5", "x", "1.0"):
        assert ask(server, "POST", "/results", None, JSON | {"Content-Length": length})[0] == 411
    assert server.store.count() == before


def test_a_cut_request_is_refused(server: ListeningServer) -> None:
    for length, status in ((99, 400), (10**30, 413)):
        with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as line:
            head = "POST /results HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + b"{}")
            line.shutdown(socket.SHUT_WR)
            assert line.recv(1000).startswith(f"HTTP/1.1 {status}".encode())


def raw(server: ListeningServer, data: bytes) -> bytes:
    """The first bytes of the answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        return line.recv(1000)


def test_only_requests_to_this_host_are_answered(server: ListeningServer) -> None:
    for host, status in (("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]", 200), ("10.1.2.3", 200)):
        assert ask(server, "GET", "/", None, {"Host": host})[0] == status
    for host in ("evil.example", "localhost.evil.example", "a b", ""):
        for method, body in (("GET", None), ("POST", json.dumps(result(server, 70))), ("OPTIONS", None)):
            assert ask(server, method, "/results", body, {**JSON, "Host": host})[0] == 421
    assert raw(server, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 421")


def test_names_of_the_server_are_checked(tmp_path: Path) -> None:
    make_test(tmp_path, "abx", items=("one",))
    with pytest.raises(ListeningError, match="host is"):
        ListeningServer(tmp_path / "test", tmp_path / "r.sqlite", port=0, allow_hosts=["a/b"])
    with ListeningServer(tmp_path / "test", tmp_path / "r.sqlite", port=0, allow_hosts=["Study.example"]) as server:
        assert server.knows_host("study.example:80") and not server.knows_host("other.example")


def test_every_request_has_an_answer(server: ListeningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is none, half of a surrogate pair in a result, a file that is gone."""
    assert raw(server, b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 404")
    status, text = post(server, '{"\\ud800": 1}')
    assert status == 422 and text.isascii()
    monkeypatch.setitem(server.files, "/gone.js", Path("gone.js"))
    assert ask(server, "GET", "/gone.js")[0] == 500


def test_a_request_that_trickles_has_a_deadline(server: ListeningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vampnet.evaluation.listening.serve._REQUEST_S", 0.5)
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60) as line:
        line.sendall(b"GET / HT")
        assert line.recv(100) == b""  # closed, though this side would have gone on


def test_other_sites_are_let_in_when_named(server: ListeningServer, tmp_path: Path) -> None:
    status, _, headers = ask(server, "OPTIONS", "/results")
    assert status == 405 and "Access-Control-Allow-Origin" not in headers
    make_test(tmp_path, "abx", items=("one",))
    for origin in ("example.org", "*", "https://a.org\r\nX: y", "https://a.org/x"):
        with pytest.raises(ListeningError, match="origin is"):
            ListeningServer(tmp_path / "test", tmp_path / "r.sqlite", port=0, allow_origin=origin)


def test_what_cannot_be_served(server: ListeningServer, tmp_path: Path) -> None:
    with pytest.raises(ListeningError, match="no listening test"):
        ListeningServer(tmp_path, tmp_path / "r.sqlite")
    test = make_test(tmp_path, "abx", items=("one",))
    with pytest.raises(ListeningError, match="as a database"):
        ListeningServer(tmp_path / "test", tmp_path)
    with pytest.raises(ListeningError, match="try another --port"):
        ListeningServer(tmp_path / "test", tmp_path / "r.sqlite", port=server.server_address[1])
    with pytest.raises(ListeningError, match="try another --port"):
        ListeningServer(tmp_path / "test", tmp_path / "r.sqlite", port=70000)
    (tmp_path / "test" / "audio" / f"{test.stimuli[0].id}.js").unlink()
    with pytest.raises(ListeningError, match="make the test again"):
        ListeningServer(tmp_path / "test", tmp_path / "r.sqlite", port=0)
