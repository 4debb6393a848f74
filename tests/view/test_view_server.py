"""The page's server: who may ask, what is refused, and that answers are what the run holds."""

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from run_to_view import ATOMS, BACKBONE, N_FRAMES, REPLICAS, chain_frames, chain_run, water_run

from cgrec import Frames
from cgrec.commands.view import View
from cgrec.view import serve

pytest.importorskip("starlette", reason="starlette is missing: pip install 'cgrec[view]'")
pytest.importorskip("httpx", reason="httpx is missing: pip install httpx")

from starlette.testclient import TestClient  # noqa: E402

from cgrec.view import uploads  # noqa: E402
from cgrec.view.live import new_events  # noqa: E402
from cgrec.view.server import STATIC, application  # noqa: E402

TOKEN, PORT = "the-token-of-a-test", 8123
HOST = f"http://127.0.0.1:{PORT}"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    chain_run(folder / "runs" / "chain")
    water_run(folder / "runs" / "water")
    (folder / "secret.txt").write_text("not for the page")
    return folder


@pytest.fixture
def page(home):
    """A client that has the token."""
    return TestClient(application(home, TOKEN, PORT), base_url=HOST, headers=BEARER)


def ladder(page, run="chain"):
    return page.get(f"/api/runs/{run}").json()


def rows(page, run, moments, words, n_sites):
    """[positions (n, sites, 3) of each level], cells (n, 3, 3)."""
    answer = page.get(f"/api/runs/{run}/moments/{moments}?{words}")
    data = np.frombuffer(answer.content, "<f4").reshape(-1, 9 + 3 * sum(n_sites))
    ends = 9 + 3 * np.cumsum([0, *n_sites])
    parts = [data[:, a:b].reshape(len(data), -1, 3) for a, b in zip(ends, ends[1:])]
    return parts, data[:, :9].reshape(-1, 3, 3)


# ---- who may ask -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 401),
        ({"Authorization": "Bearer another"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({**BEARER, "Host": f"evil.example:{PORT}"}, 403),
        ({**BEARER, "Host": "127.0.0.1:1"}, 403),
        ({**BEARER, "Origin": "https://evil.example"}, 403),
        ({**BEARER, "Origin": "null"}, 403),
        ({**BEARER, "Origin": "http://127.0.0.1:9999"}, 403),
        ({**BEARER, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**BEARER, "Sec-Fetch-Site": "same-site"}, 403),
        ({**BEARER, "Origin": HOST, "Sec-Fetch-Site": "same-origin"}, 200),
        ({**BEARER, "Host": f"localhost:{PORT}"}, 200),
    ],
)
def test_only_the_page_with_its_token_may_ask(home, headers, status):
    client = TestClient(application(home, TOKEN, PORT), base_url=HOST)
    for path in ("/api/runs", "/api/runs/chain"):
        assert client.get(path, headers=headers).status_code == status
    posted = client.post("/api/jobs/mine/files/a.pdb", headers=headers, content=b"ATOM")
    assert posted.status_code == status
    assert (home / "runs" / "mine.files").exists() == (status == 200)
    shutil.rmtree(home / "runs" / "mine.files", ignore_errors=True)


def test_every_path_below_api_needs_the_token(home):
    app = application(home, TOKEN, PORT)
    client = TestClient(app, base_url=HOST)
    paths = [route.path for route in app.app.routes]
    assert len([path for path in paths if path.startswith("/api/")]) > 15
    for path in paths:
        assert client.get(path).status_code == (401 if path.startswith("/api/") else 200), path


def test_answers_allow_no_foreign_code(page):
    for path in ("/", "/app.js", "/api/runs", "/api/nothing", "/nothing"):
        policy = page.get(path).headers["content-security-policy"]
        assert "script-src 'self'" in policy and "default-src 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert page.get(path).headers["x-content-type-options"] == "nosniff"


def test_the_page_names_nothing_from_elsewhere():
    for path in STATIC.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path.name
        assert "innerHTML" not in text and "eval(" not in text and "insertAdjacent" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/..%2f..%2fsecret.txt",
        "/api/runs/%2e%2e",
        "/api/runs/../../secret.txt",
        "/api/runs/chain/files/..%2fconfig.yaml",
        "/api/runs/chain/files/config.yaml",
        "/api/runs/chain/moments/..%2flevel0",
        "/..%2f..%2fsecret.txt",
        "/static/../server.py",
        "/server.py",
        "/api/jobs/..%2fx",
    ],
)
def test_a_path_leads_nowhere(page, path):
    answer = page.get(path)
    assert answer.status_code == 404 and "not for the page" not in answer.text


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e%2fx.pdb",
        ".hidden",
        "a%2fb.pdb",
        "mine.yaml",
        "init.txt",
        "a%00.pdb",
        "-x.pdb",
        "x=y.pdb",
    ],
)
def test_a_file_keeps_to_its_folder(page, home, name):
    answer = page.post(f"/api/jobs/sent/files/{name}", content=b"x")
    assert answer.status_code in (400, 404, 405)
    assert not (home / "runs" / "sent.files").exists()


def test_a_file_is_refused_at_the_first_byte_too_many(page, home, monkeypatch):
    monkeypatch.setattr(uploads, "MOST", 1000)
    sent = []

    def pieces():
        for _ in range(100):
            sent.append(400)
            yield b"x" * 400

    folder = home / "runs" / "large.files"
    told = page.post(
        "/api/jobs/large/files/a.trr", content=b"", headers={"Content-Length": str(10 * 2**30)}
    )
    assert told.status_code == 413 and "GiB" in told.json()["error"]
    assert page.post("/api/jobs/large/files/a.trr", content=pieces()).status_code == 413
    assert not any(folder.glob("*"))
    assert page.post("/api/jobs/large/files/a.trr", content=b"x" * 1000).status_code == 200
    assert page.post("/api/jobs/large/files/a.trr", content=b"y").status_code == 409
    assert (folder / "a.trr").read_bytes() == b"x" * 1000


def test_a_request_that_is_no_file_is_short(page):
    answer = page.post("/api/jobs/chain/beads", content=b"[" * 2**21)
    assert answer.status_code == 413
    for body in (b"[]", b"{", b'{"beads": 3}'):
        assert page.post("/api/jobs/chain/beads", content=body).status_code == 400


def test_names_with_a_script_stay_text(tmp_path):
    bad = "<img src=x onerror=alert(1)>"
    chain_run(tmp_path / "runs" / bad, name=bad)
    client = TestClient(application(tmp_path, TOKEN, PORT), base_url=HOST, headers=BEARER)
    answer = client.get("/api/runs")
    assert answer.json()["runs"][0]["name"] == bad
    assert answer.headers["content-type"] == "application/json"


def test_one_run_alone_is_shown(home):
    app = application(home, TOKEN, PORT, home / "runs" / "water")
    client = TestClient(app, base_url=HOST, headers=BEARER)
    assert [run["name"] for run in client.get("/api/runs").json()["runs"]] == ["water"]
    assert client.get("/api/runs/chain").status_code == 404


# ---- what is told ------------------------------------------------------------------------------


def test_the_ladder_has_levels_verdicts_and_looks(page):
    found = ladder(page)
    first, second = found["levels"]
    assert [level["n_sites"] for level in (first, second)] == [7, 5]
    assert first["look"]["bead"] == [0, 1, 2, -1, 3, 4, -1]
    assert first["look"]["labels"][2] == "ALA:CA" and len(first["look"]["bonds"]) == 6
    assert second["verdict"]["word"] == "look"
    assert second["verdict"]["reasons"][0]["do"] == "Run longer"
    own, coarse = found["moments"]
    assert (own["level"], coarse["level"]) == (0, 1)  # from 1 on the page offers the atoms
    assert own["levels"] == [0, 1] and coarse["levels"] == [1]
    assert "mapped up, which is exact" in own["says"] and "not shown" in coarse["says"]
    assert own["replicas"] == [N_FRAMES // REPLICAS] * REPLICAS


def test_a_moment_is_the_same_at_every_level(page, home):
    frames = chain_frames()
    (atoms, beads), cells = rows(page, "chain", "level0", "first=50&count=30", (7, 5))
    order = np.argsort(frames.replicas, kind="stable")[50:80]
    assert atoms.shape == (30, 7, 3) and not cells.any()
    assert np.allclose(beads, atoms[:, [ATOMS.names.index(name) for name in BACKBONE]], atol=1e-6)

    def distances(x):
        return np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)

    assert np.allclose(distances(atoms), distances(frames.positions[order]), atol=1e-5)
    volumes = [np.linalg.det(x[:, 1:4] - x[:, :1]) for x in (atoms, frames.positions[order])]
    assert np.allclose(*volumes, atol=1e-6)  # turned, not mirrored
    (named, _), _ = rows(page, "chain", "level0", "frames=79,50", (7, 5))
    assert np.allclose(named, atoms[[-1, 0]], atol=1e-5)
    weights = np.frombuffer(page.get("/api/runs/chain/moments/level0/weights").content, "<f4")
    assert np.allclose(weights[50:80], frames.weights[order] / frames.weights.mean(), rtol=1e-5)


def test_water_lies_in_its_box_whole_at_both_levels(page, home):
    frames = Frames.load(home / "runs" / "water" / "level0" / "frames")
    (atoms, beads), cells = rows(page, "water", "level0", "first=0&count=6", (81, 27))
    edge = float(frames.box[0, 0])
    assert np.allclose(cells, frames.box, atol=1e-5)
    masses = frames.system.masses.reshape(27, 3, 1)
    molecules = atoms.reshape(6, 27, 3, 3)
    assert np.allclose((masses * molecules).sum(2) / masses.sum(1), beads, atol=1e-5)
    assert np.abs(molecules - molecules[:, :, :1]).max() < 0.2  # no bond across the box
    assert np.abs(molecules.mean(2)).max() <= edge / 2 + 1e-5
    moved = (atoms - frames.positions + edge / 2) / edge
    assert np.allclose(moved, moved.round(), atol=1e-4)


def test_too_many_or_wrong_frames_are_refused(page):
    for words in ("first=-1", "first=a", "frames=1,x", f"frames={N_FRAMES}"):
        answer = page.get(f"/api/runs/chain/moments/level0?{words}")
        assert answer.status_code == 400 and "expected" in answer.json()["error"]


def test_bins_of_a_surface_hold_every_frame_once(page):
    (about,) = ladder(page)["landscapes"]
    assert [v["name"] for v in about["variables"]] == ["phi", "psi"] and about["levels"] == [0, 1]
    base = f"/api/runs/chain/landscapes/{about['name']}"
    surface = page.get(base).json()["surfaces"][0]["values"]
    n = len(surface)
    whole = page.get(f"{base}/0?bins=0-{n - 1},0-{n - 1}").json()
    assert sorted(whole["places"]) == list(range(N_FRAMES)) and whole["share"] == pytest.approx(1)
    parts = [page.get(f"{base}/0?bins={k}-{k},0-{n - 1}").json() for k in range(n)]
    assert sum(part["count"] for part in parts) == N_FRAMES
    seen = [[value is not None for value in row] for row in surface]
    assert [any(row) for row in seen] == [part["count"] > 0 for part in parts]
    heavy = parts[int(np.argmax([part["count"] for part in parts]))]["weights"]
    assert heavy == sorted(heavy, reverse=True) and len(heavy) > 1
    assert page.get(f"{base}/0?bins=1").status_code == 400
    assert page.get(f"{base}/7?bins=1,1").status_code == 400


def test_surfaces_and_regions_have_errors(page):
    """A bin's error in kT is that of its share, which comes from another estimator."""
    base = f"/api/runs/chain/landscapes/{ladder(page)['landscapes'][0]['name']}"
    surface = page.get(base).json()["surfaces"][0]["values"]
    errors = page.get(f"{base}/errors").json()["errors"]
    assert [one["level"] for one in errors] == [0, 1]
    seen = [(i, j) for i, row in enumerate(surface) for j, f in enumerate(row) if f is not None]
    told = {
        (i, j): error for i, row in enumerate(errors[0]["values"]) for j, error in enumerate(row)
    }
    assert {bin for bin, error in told.items() if error is not None} == set(seen)
    i, j = min(seen, key=lambda bin: surface[bin[0]][bin[1]])
    lowest = page.get(f"{base}/0?bins={i}-{i},{j}-{j}").json()
    assert lowest["share_error"] / lowest["share"] == pytest.approx(told[i, j], rel=0.3)
    n = len(surface)
    whole = page.get(f"{base}/0?bins=0-{n - 1},0-{n - 1}").json()
    assert whole["share_error"] == pytest.approx(0.0, abs=1e-6)


def test_frames_of_a_region_are_taken_away_with_weights(page):
    name = ladder(page)["landscapes"][0]["name"]
    base = f"/api/runs/chain/landscapes/{name}/1"
    taken = page.get(f"{base}/frames.csv?bins=0-99,0-99")
    assert taken.headers["content-disposition"] == 'attachment; filename="frames.csv"'
    head, *lines = taken.text.splitlines()
    assert head == "frame,replica,weight,phi / rad,psi / rad" and len(lines) == N_FRAMES
    frame, replica, weight, *_ = lines[0].split(",")
    own = chain_frames(1)
    assert float(weight) == pytest.approx(own.weights.max() / own.weights.mean(), rel=1e-4)
    assert own.weights.argmax() == int(frame) and int(replica) == own.replicas[int(frame)]
    assert page.get(f"{base}/frames.csv?bins=99-99,99-99").text == f"{head}\n"
    assert page.get(f"{base}/frames.pdb?bins=0-99,0-99").text.count("MODEL") >= N_FRAMES
    assert page.get(f"{base}/frames.exe?bins=0-99,0-99").status_code == 404


def test_frames_with_most_pairs_in_a_shell(page, home):
    found = page.get("/api/runs/water/shells/1/frames?first=HOH&second=HOH&low=0.25&high=0.33")
    kind = Frames.load(home / "runs" / "water" / "level1" / "frames").system.types[0]
    curves = page.get("/api/runs/water/shells/1").json()["curves"]
    assert [curve["types"] for curve in curves] == [[kind, kind]] and "parent" in curves[0]
    assert found.status_code == (200 if kind == "HOH" else 400)
    words = f"first={kind}&second={kind}&low=0.25&high=0.33"
    best = page.get(f"/api/runs/water/shells/1/frames?{words}").json()["places"][0]
    frames = Frames.load(home / "runs" / "water" / "level1" / "frames")
    edge = float(frames.box[0, 0])
    apart = frames.positions[:, :, None] - frames.positions[:, None]
    far = np.linalg.norm(apart - edge * np.round(apart / edge), axis=-1)
    pairs = ((far >= 0.25) & (far < 0.33)).sum((1, 2))
    assert pairs[best] == pairs.max()
    assert page.get("/api/runs/chain/shells/0").status_code == 400


def test_events_go_on_where_they_were(tmp_path):
    path = tmp_path / "events.jsonl"
    assert new_events(tmp_path, 0) == ([], 0, False)
    path.write_text(
        '{"time": 1, "event": "a"}\nno json\n{"time": 2, "event": "b"}\n{"time": 3, "ev'
    )
    events, place, more = new_events(tmp_path, 0)
    assert [event["event"] for event in events] == ["a", "b"] and not more
    with path.open("a") as file:
        file.write('ent": "c"}\n')
    events, place, _ = new_events(tmp_path, place)
    assert [event["event"] for event in events] == ["c"] and place == os.path.getsize(path)
    assert new_events(tmp_path, place) == ([], place, False)


def test_files_of_a_run_are_listed_and_work_is_one_at_a_time(page, home, monkeypatch):
    page.post("/api/jobs/later/files/a.pdb", content=b"ATOM")
    state = page.get("/api/jobs/later").json()
    assert state["files"] == ["a.pdb"] and state["recipe"] == "" and state["status"] is None
    assert page.get("/api/jobs/unknown").status_code == 404
    assert page.post("/api/jobs/chain/files/a.pdb", content=b"x").status_code == 409
    for given in ({"temperature": -3}, {"temperature": "hot"}, {"goal": "best"}):
        answer = page.post("/api/jobs/later/init", content=json.dumps(given))
        assert answer.status_code == 400 and "expected" in answer.json()["error"]
    assert page.post("/api/jobs/empty/init", content=b"{}").status_code == 400
    assert page.post("/api/jobs/chain/stop", content=b"{}").status_code == 400


def test_a_lock_that_names_another_process_stops_nothing(page, home):
    lock = home / "runs" / "chain" / ".lock"
    with subprocess.Popen(["sleep", "60"]) as other:
        about = {"pid": other.pid, "host": socket.gethostname(), "since": "now"}
        lock.write_text(json.dumps(about))
        answer = page.post("/api/jobs/chain/stop", content=b"{}")
        assert answer.status_code == 400 and "found none" in answer.json()["error"]
        assert other.poll() is None
        other.kill()
    lock.unlink()


def test_a_run_that_a_terminal_climbs_is_not_begun_twice_and_is_stopped(page, home):
    held = "import sys, time\nfrom cgrec.run.lock import only_here\n"
    held += "with only_here(sys.argv[1]):\n    print('here', flush=True)\n    time.sleep(60)\n"
    folder = home / "runs" / "chain"
    command = [sys.executable, "-c", held, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"here\n"
        assert page.post("/api/jobs/chain/climb", content=b"{}").status_code == 409
        answer = page.post("/api/jobs/chain/stop", content=b"{}")
        assert answer.status_code == 200 and str(other.pid) in answer.json()["stopped"]
        assert other.wait(20) != 0
    (folder / ".lock").unlink()


def test_the_command_refuses_what_it_cannot_serve(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no such run"):
        View(run=str(tmp_path / "nothing"))()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="port=0 finds one"):
            serve(tmp_path, None, taken.getsockname()[1], print)
    monkeypatch.setattr("cgrec.needs.find_spec", lambda package: None)
    with pytest.raises(ImportError, match=r"pip install 'cgrec\[view\]'"):
        serve(tmp_path, None, 0, print)
