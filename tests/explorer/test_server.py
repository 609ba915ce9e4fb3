"""The local page answers its own browser, with the study's own files, and nobody else."""

import asyncio
import json
import re
import time
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Scope

from kdgap.explorer.page import STATIC, page_files
from kdgap.explorer.server import NUMBERED, application, study_file
from kdgap.explorer.watch import Watch
from kdgap.store.study import StudyDirectory
from tests.judge.test_study_evidence import BASELINE, METHOD, study

HOST = "127.0.0.1:8000"
TOKEN = "abcdefgh12345678"  # of a test


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return study(tmp_path / "study", BASELINE, METHOD)


@pytest.fixture
def client(directory: StudyDirectory) -> TestClient:
    return visiting(directory)


def visiting(directory: StudyDirectory) -> TestClient:
    app = application(Watch(directory.path), [HOST])
    return TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    """One study for all tests that only read, with a secret beside it to which a link leads."""
    folder = tmp_path_factory.mktemp("untouched")
    directory = study(folder / "study", BASELINE, METHOD)
    (folder / "secret").write_text("secret")
    (directory.path / "linked.json").symlink_to(folder / "secret")
    return directory


@pytest.fixture(scope="module")
def reader(untouched: StudyDirectory) -> TestClient:
    """Who only asks."""
    return visiting(untouched)


@pytest.fixture(scope="module")
def asked_often(untouched: StudyDirectory) -> ASGIApp:
    """The page itself, for requests that a client would tidy up."""
    return application(Watch(untouched.path), [HOST])


def test_the_page_and_its_documents(client: TestClient, directory: StudyDirectory) -> None:
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for name in ("study", "runs", "arm/0", "compare/0", "run/0", "live"):
        answer = client.get(f"/data/{name}.json")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert isinstance(answer.json(), dict)
    runs = client.get("/data/runs.json").json()
    assert [row[0] for row in runs["rows"]] == [run["id"] for run in directory.plan()["runs"]]


def test_every_script_and_style_of_the_page_is_served(client: TestClient) -> None:
    page = client.get("/").text
    asked = [part.partition('"')[0] for part in page.split('="static/')[1:]]
    assert len(asked) == len(set(asked)) > 3
    served = b"".join(client.get(f"/static/{name}").content for name in asked)
    for path in STATIC.rglob("*"):
        if path.is_file() and path.name != "index.html":
            assert (
                path.read_bytes() in served
                or client.get(f"/static/{path.relative_to(STATIC).as_posix()}").content
                == path.read_bytes()
            )


def test_scripts_are_joined_in_the_order_in_which_the_index_names_them() -> None:
    named = re.findall(r'src="static/(\w+\.js)"', (STATIC / "index.html").read_text())
    assert sorted(named) == sorted(path.name for path in STATIC.glob("*.js"))
    script = page_files()["static/page.js"]
    places = [script.index((STATIC / name).read_bytes()) for name in named]
    assert places == sorted(places)
    page = page_files()["index.html"].decode()
    assert page.index("vendor/") < page.index("static/page.js") < page.index("</head>")


def test_no_two_scripts_of_the_page_declare_one_name() -> None:
    """Plain scripts share one scope: the second of two would not be run at all."""
    declared = Counter(
        name
        for path in STATIC.glob("*.js")
        for name in re.findall(
            r"^(?:const|let|class|(?:async )?function) (\w+)", path.read_text(), re.MULTILINE
        )
    )
    assert len(declared) > 100
    assert [name for name, times in declared.items() if times > 1] == []


def test_no_answer_may_run_or_fetch_anything_of_others(client: TestClient) -> None:
    for path in ("/", "/data/study.json", "/nothing", "/static/page.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == (
            "nosniff",
            "DENY",
        )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1:8000.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"host": "localhost:9999", "origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_what_is_foreign_is_forbidden_on_every_method(
    reader: TestClient, method: str, headers: dict[str, str]
) -> None:
    for path in ("/", "/data/study.json", "/static/page.js", "/nothing"):
        assert reader.request(method, path, headers=headers).status_code == 403


FOREIGN = (
    *("evil.example:8000", "evil.example", "localhost.evil.example", "localhost.evil.example:8000"),
    *("localhost@evil.example", "localhost:8000@evil.example", "evil.example#localhost"),
    *("127.0.0.1.nip.io", "127.0.0.1.nip.io:8000", "notlocalhost", "localhost-evil", "localhos"),
    *("192.168.1.2:8000", "10.0.0.1", "128.0.0.1", "126.255.255.255", "0.0.0.0:8000", "[::]:8000"),
    *("[::2]", "[fe80::1%25lo]", "[::1%lo]", "[::1%25lo]:8000", "[::1", "::1", "::1:8000", "[]"),
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.0.01", "127.0.0.1."),
    *("127.0.0.1:", "localhost:", "localhost:x", "localhost:65536", "localhost:8000:8000", ":8000"),
    *("localhost:-1", "localhost/", "localhost/evil", "http://localhost", "localhost, evil"),
    *(".localhost", "..localhost", "a..localhost", "-a.localhost", "localhost..", "127.0.0.256"),
    *("", " ", "*", "localhost evil", "localhost%00", "[127.0.0.1]", "l\u00f6calhost"),
    *("\u0661.localhost", "127.0.0.\u0661"),
)


def test_what_may_be_the_name_of_another_is_forbidden(asked_often: ASGIApp) -> None:
    app = asked_often
    assert [host for host in FOREIGN if raw(app, "/", host)[0] != 403] == []
    assert [host for host in FOREIGN if raw(app, "/", HOST, f"http://{host}")[0] != 403] == []


LOOPBACK = (
    *("localhost", "localhost:9999", "LOCALHOST:9999", "LocalHost", "localhost.", "localhost.:80"),
    *("study.localhost", "a-b.c1.localhost:9999", "127.0.0.1", "127.0.0.1:9999", "127.8.9.255:1"),
    *("[::1]", "[::1]:9999", "[0:0:0:0:0:0:0:1]:9999", "localhost:65535", "localhost:0"),
)


@pytest.mark.parametrize(("token", "served"), [(None, 200), (TOKEN, 401)])
def test_a_loopback_name_is_this_machines_whatever_its_port(
    directory: StudyDirectory, token: str | None, served: int
) -> None:
    app = application(Watch(directory.path), ["machine.lab:8000"], token)
    for host in LOOPBACK:
        own = (), (f"http://{host}",), (f"https://{host}".upper(),), ("http://machine.lab:8000",)
        foreign = (
            (f"http://{host}", "http://evil.example"),
            *((f"http://{host}.evil.example",), (f"http://user@{host}",)),
            ("http://machine.lab:9999",),
        )
        assert {raw(app, "/", host, *origins)[0] for origins in own} == {served}, host
        assert {raw(app, "/", host, *origins)[0] for origins in foreign} == {403}, host


def test_another_name_counts_as_it_was_given(directory: StudyDirectory) -> None:
    app = application(Watch(directory.path), ["machine.lab:8000"], TOKEN)
    assert raw(app, "/", "Machine.Lab:8000")[0] == 401
    for host in ("machine.lab", "machine.lab:9999", "lab:8000"):
        assert raw(app, "/", host)[0] == 403


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], [HOST, "evil.example"]])
def test_a_request_names_one_host(asked_often: ASGIApp, hosts: list[str]) -> None:
    assert asked_as(asked_often, "/", [(b"host", host.encode()) for host in hosts])[0] == 403


def test_what_is_no_origin_of_a_page_of_ours_is_foreign(asked_often: ASGIApp) -> None:
    odd = (
        *("", "null", "file://", "http://", "//localhost", "localhost", "ftp://localhost"),
        *("http://localhost/", "http://localhost?x", "http://localhost\\@evil.example", "http://["),
    )
    assert [origin for origin in odd if raw(asked_often, "/", "localhost", origin)[0] != 403] == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_reading_is_offered(reader: TestClient, method: str) -> None:
    answer = reader.request(method, "/data/study.json")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_link_from_elsewhere_opens_the_page(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200


def test_a_token_is_asked_for_and_taken_off_the_address(directory: StudyDirectory) -> None:
    app = application(Watch(directory.path), [HOST], TOKEN)
    client = TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)
    assert client.get("/data/study.json").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/", headers={"cookie": "kdgap-token-8000=wrong"}).status_code == 401
    answer = client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"httponly", "samesite=strict"} <= set(
        answer.headers["set-cookie"].lower().replace(" ", "").split(";")
    )
    assert client.get("/data/study.json").status_code == 200
    assert answer.headers["set-cookie"].startswith("kdgap-token-8000=")  # of this one of the host's


TRAVERSAL = [
    *("..", "../secret", "../../etc/passwd", "/etc/passwd", "//etc/passwd", "runs/../../secret"),
    *(
        "%2e%2e/secret",
        "..%2fsecret",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5csecret",
        "..\\secret",
    ),
    *("....//secret", "./plan.json", "plan.json/", "plan.json%00.txt", "plan.json/..", ".lock"),
    *("runs", "runs/", "runs/x/results.json", "locked/../plan.json", "live/x.json", "C:\\secret"),
    *("report.html", "linked.json", "~/x", "file:///etc/passwd"),
]


def raw(app: ASGIApp, path: str, host: str = HOST, *origins: str) -> tuple[int, bytes]:
    """Ask for a path as it stands; a client would tidy it up first."""
    named = [("host", host), *(("origin", origin) for origin in origins)]
    return asked_as(app, path, [(name.encode(), value.encode()) for name, value in named])


def asked_as(app: ASGIApp, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    answered: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()  # a visitor who stays
        raise AssertionError

    async def send(message: Message) -> None:
        answered.append(message)

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return answered[0]["status"], b"".join(part.get("body", b"") for part in answered[1:])


@pytest.mark.parametrize("asked", TRAVERSAL)
def test_only_files_of_the_study_are_served(
    untouched: StudyDirectory, asked_often: ASGIApp, asked: str
) -> None:
    for folder in ("files", "static", "data"):
        answer = raw(asked_often, f"/{folder}/{asked}")
        assert answer == (404, b"404: there is no such page\n")
    assert study_file(untouched.path, unquote(asked)) is None
    place = untouched.plan()["runs"][0]["path"]
    assert raw(asked_often, f"/files/{place}/results.json")[0] == 200


def test_a_record_is_handed_over_and_never_run(
    client: TestClient, directory: StudyDirectory
) -> None:
    place = directory.plan()["runs"][0]["path"]
    answer = client.get(f"/files/{place}/results.json")
    assert answer.status_code == 200
    assert answer.content == (directory.path / place / "results.json").read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    "asked",
    ["/files/plan.json", "/files/study.yaml", f"/data/run/{'9' * 5000}.json", "/data/run/0.5.json",
     "/data/nothing/0.json", "/data/run/٣.json"],
)  # fmt: skip
def test_what_only_looks_like_a_page_is_not_found(reader: TestClient, asked: str) -> None:
    assert reader.get(asked).status_code == 404


def test_a_name_that_no_file_can_have_is_not_found(
    client: TestClient, directory: StudyDirectory
) -> None:
    place = directory.plan()["runs"][0]["path"]
    assert client.get(f"/files/{place}/{'x' * 300}").status_code == 404


def test_an_origin_that_is_none_is_foreign(reader: TestClient) -> None:
    assert reader.get("/", headers={"origin": "http://["}).status_code == 403


@pytest.mark.parametrize("content", ["folder", '{"epoch": 1, "val_acc": 1e999}', "[1]", "\0"])
def test_a_run_that_cannot_be_read_ends_no_server(directory: StudyDirectory, content: str) -> None:
    place = directory.path / directory.plan()["runs"][0]["path"]
    for name in ("manifest.json", "history.jsonl"):
        (place / name).unlink()
    if content == "folder":
        (place / "history.jsonl").mkdir()
    else:
        (place / "history.jsonl").write_text(content)
    client = TestClient(application(Watch(directory.path), [HOST]), base_url=f"http://{HOST}")
    answer = client.get("/data/run/0.json")
    assert answer.status_code == 200
    assert client.get("/data/runs.json").status_code == 200


def test_what_nobody_foresaw_is_one_line_and_ends_no_server(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("two\nlines")

    monkeypatch.setitem(NUMBERED, "run", fails)
    answer = client.get("/data/run/0.json")
    assert (answer.status_code, answer.text) == (503, "503: two lines\n")
    assert client.get("/data/runs.json").status_code == 200


def test_a_live_file_names_no_other_run_than_its_own(
    client: TestClient, directory: StudyDirectory
) -> None:
    run = directory.plan()["runs"][1]["id"]
    (directory.path / "live").mkdir()
    at = {"run": 99, "epoch": 1, "epochs": 2, "step": 3, "steps": 9}
    about = {"pid": 1, "when": time.time(), "host": "h", "phase": "p", "runs": {run: at}}
    (directory.path / "live" / "host-1.json").write_text(json.dumps(about))
    ((live_run,),) = (runner["runs"] for runner in client.get("/data/live.json").json()["runners"])
    assert (live_run["run"], live_run["step"]) == (1, 3)


@pytest.mark.parametrize(
    "content", ["NaN", '{"when": NaN}', "[]", '{"when": 1e999}', '{"runs": 7}']
)
def test_a_live_file_of_anything_ends_no_server(
    client: TestClient, directory: StudyDirectory, content: str
) -> None:
    (directory.path / "live").mkdir()
    (directory.path / "live" / "host-1.json").write_text(content)
    answer = client.get("/data/live.json")
    assert answer.status_code == 200
    assert answer.json()["runners"] == []


@pytest.mark.parametrize("part", ["run/999", "run/-1", "arm/999", "compare/999", "arm/x", "x"])
def test_what_is_not_there_is_not_found(reader: TestClient, part: str) -> None:
    assert reader.get(f"/data/{part}.json").status_code == 404


def test_text_of_names_cannot_end_a_script(directory: StudyDirectory) -> None:
    plan = directory.plan()
    plan["study"]["description"] = "</script><script>alert(1)</script>"
    directory.write("plan.json", plan)
    client = TestClient(application(Watch(directory.path), [HOST]), base_url=f"http://{HOST}")
    answer = client.get("/data/study.json")
    assert "<" not in answer.text
    assert answer.json()["description"] == plan["study"]["description"]
