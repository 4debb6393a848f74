"""events.jsonl, log.txt and `cgrec status`: what a run says of itself, also after a kill."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings

import pytest
from samples import TINY

from cgrec.cli import main
from cgrec.progress import Progress
from cgrec.remarks import Remark, remark
from cgrec.run import events, layout
from cgrec.run.events import at_level, duration, emit, kept_events, read_events, step, waiting
from cgrec.run.lock import only_here
from cgrec.run.recipes import OtherRecipe
from cgrec.run.status import status_of


def kinds(folder):
    return [event["event"] for event in read_events(folder)]


def test_the_log_of_a_climb_without_a_terminal_is_a_page_of_lines(tiny_climb):
    folder, said = tiny_climb.folder, tiny_climb.said
    lines = [*said.splitlines(), *tiny_climb.printed.splitlines()]
    assert len(lines) < 60
    assert "\r" not in said and "it/s" not in said and "step/s" not in said
    assert lines[0].startswith(f"cgrec climb: {tiny_climb.made_in}")
    names = [event["name"] for event in read_events(folder) if event["event"] == "verdict"]
    for name in names[1:]:
        for kind in ("map", "fit", "run", "ledger"):
            assert any(line.startswith(f"{name}: {kind} done in ") for line in lines)
    log = (folder / layout.LOG).read_text()
    own = [line for line in said.splitlines() if not line.startswith("cgrec")]
    assert all(line in log for line in own)
    stamp = log.splitlines()[0].partition("  ")[0]
    time.strptime(stamp, "%Y-%m-%d %H:%M:%S")


def test_events_of_a_climb_tell_its_steps_verdicts_remarks_and_end(tiny):
    found = read_events(tiny)
    assert found[0]["event"] == "climb_begin" and found[-1]["event"] == "climb_end"
    begun = [(e["name"], e["step"]) for e in found if e["event"] == "step_begin"]
    ended = [(e["name"], e["step"]) for e in found if e["event"] == "step_end"]
    assert sorted(begun) == sorted(ended) and begun[0] == ("level 0", "source")
    reports = sorted(tiny.glob("level*/report.json"))
    told = [e["value"] for e in found if e["event"] == "verdict"]
    assert told == [json.loads(p.read_text())["verdict"]["value"] for p in reports]
    kept = [s for p in tiny.glob("level*/remarks.json") for s in json.loads(p.read_text())]
    assert kept and set(kept) <= {e["text"] for e in found if e["event"] == "remark"}
    last = [e for e in found if e["event"] == "progress" and e["task"] == "l1: run"][-1]
    assert last["done"] == last["total"] and last["lost_replicas"] == 0 and last["temperature"] > 0
    assert [e["time"] for e in found] == sorted(e["time"] for e in found)


def test_status_of_a_finished_run_needs_no_torch(tiny):
    code = (
        "import sys\nfrom cgrec.cli import main\n"
        "main(['status', 'run=' + sys.argv[1]])\n"
        "assert 'torch' not in sys.modules, 'status imports torch'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny)], capture_output=True, text=True, check=True
    )
    first, *rest = done.stdout.splitlines()
    assert first == f"{tiny}: finished"
    assert rest[-1] == f"open {tiny}/report.html"
    assert sum(" done, verdict: " in line for line in rest) == 1 + len(status_of(tiny).levels[1:])


def test_a_run_that_was_copied_goes_on_where_it_is(tiny_climb, tmp_path):
    copy = shutil.copytree(tiny_climb.folder, tmp_path / "two words")
    words = shlex.split(status_of(copy).command)
    assert f"run={copy}" in words and f"run={tiny_climb.made_in}" not in words
    assert f"run={tiny_climb.made_in}" in shlex.split(status_of(tiny_climb.made_in).command)


def test_status_as_json_and_resume(tiny, capsys):
    main(["climb", *TINY, f"run={tiny}"])
    assert "climb_resume" in kinds(tiny)
    again = kinds(tiny)[kinds(tiny).index("climb_resume") :]
    assert "progress" not in again and again[-1] == "climb_end"
    capsys.readouterr()
    main(["status", f"run={tiny}", "json=true"])
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "finished" and found["process"] is None and found["report"]
    assert [level["state"] for level in found["levels"]] == ["done"] * len(found["levels"])
    assert found["levels"][0]["verdict"] == "trust"


def test_events_are_in_no_digest_and_no_recipe(tiny):
    for path in tiny.rglob("*.json"):
        assert layout.EVENTS not in path.read_text(), path
    assert layout.EVENTS not in (tiny / layout.CONFIG).read_text()


def test_a_refusal_is_an_event_of_a_run_that_is_there_and_makes_no_folder(tiny, tmp_path):
    with pytest.raises(SystemExit):
        main(["climb", *TINY, f"run={tiny}", "seed=12"])
    last = read_events(tiny)[-1]
    assert last["event"] == "climb_refused" and "seed" in last["text"]
    with pytest.raises(SystemExit):
        main(["climb", *TINY, f"run={tiny}", "variables={ends: [B0, nowhere]}"])
    last = read_events(tiny)[-1]
    assert last["event"] == "climb_refused" and "nowhere" in last["text"]
    status = status_of(tiny)
    assert status.state == "refused" and status.said.startswith("all levels are made; the last")
    with pytest.raises(SystemExit):
        main(["climb", *TINY, f"run={tmp_path}/new", "variables={ends: [B0, nowhere]}"])
    assert not (tmp_path / "new").exists()


KILLED = """
import os, signal, sys, time
from cgrec.progress import Progress
from cgrec.run.events import at_level, kept_events, step
from cgrec.run.lock import only_here
folder = sys.argv[1]
with only_here(folder), kept_events(folder, ["l1", "l2"]), at_level(1, "l1"), step("fit"):
    with Progress("l1: fit", 100) as bar:
        bar.begin -= 10.0
        bar.event_at -= 10.0
        bar.show(loss=2.5, explained_fraction=0.25)
        bar.advance(40)
        print("here", flush=True)
        time.sleep(60)
"""


def test_after_a_kill_nothing_that_was_said_is_lost(tmp_path):
    run = tmp_path / "run"
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(run)], stdout=subprocess.PIPE, env=os.environ
    )
    assert worker.stdout.readline() == b"here\n"
    status = status_of(run)
    assert status.state == "running" and status.process.pid == worker.pid
    assert status.running == "l1: fit"
    assert status.now["done"] == 40 and status.now["explained_fraction"] == 0.25
    assert 14 < status.now["left"] < 17  # s: 60 of 100 steps, 40 of which took 10 s
    assert f"process {worker.pid}" in status.lines()[0]
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    status = status_of(run)
    assert status.state == "killed" and str(worker.pid) in status.said
    assert [level.name for level in status.levels] == ["level 0", "l1", "l2"]
    assert status.now["done"] == 40
    assert "unfinished: 0 of 2 levels" in status.lines()[-1]


def test_a_line_that_was_cut_is_left_out_and_ended(tmp_path):
    path = tmp_path / layout.EVENTS
    whole = {"time": 1.0, "event": "climb_begin", "levels": ["l1"]}
    path.write_text(json.dumps(whole) + "\n" + '{"time": 2.0, "event": "prog')
    assert kinds(tmp_path) == ["climb_begin"]
    with kept_events(tmp_path, ["l1"]):
        emit("verdict", value="trust", text="all is well")
    assert kinds(tmp_path) == ["climb_begin", "climb_resume", "verdict", "climb_end"]
    assert path.read_text().splitlines()[1] == '{"time": 2.0, "event": "prog'


def test_a_full_disk_loses_events_is_said_once_and_ends_nothing(tmp_path, monkeypatch, capsys):
    full = os.open("/dev/full", os.O_RDWR)

    with kept_events(tmp_path, ["l1"]):
        journal = events._OPEN.get()
        whole, journal.events.file = journal.events.file, full
        for k in range(3):
            emit("verdict", value="look", text=str(k))
        journal.events.file = whole
        emit("verdict", value="trust", text="room again")
    os.close(full)
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1 and "No space left" in said
    assert kinds(tmp_path) == ["climb_begin", "verdict", "climb_end"]


def test_a_folder_that_cannot_hold_events_ends_nothing(tmp_path, capsys):
    (tmp_path / layout.EVENTS).mkdir()
    with kept_events(tmp_path, []):
        emit("verdict", value="trust", text="well")
    assert "the work goes on" in capsys.readouterr().err
    assert "climb done" in (tmp_path / layout.LOG).read_text()


def test_remarks_before_the_lock_are_kept_and_other_processes_write_nothing(tmp_path):
    with warnings.catch_warnings(), waiting(tmp_path):
        warnings.simplefilter("ignore", Remark)
        remark("an early sentence")
        with only_here(tmp_path), kept_events(tmp_path, []):
            remark("a later one")
            child = os.fork()
            if not child:
                emit("verdict", value="trust", text="of a child")
                os._exit(0)
            os.waitpid(child, 0)
    texts = [e["text"] for e in read_events(tmp_path) if "text" in e]
    assert texts == ["an early sentence", "a later one"]


@pytest.mark.parametrize(
    ("error", "worked", "kind"),
    [
        (ValueError("wrong"), False, "climb_refused"),
        (OtherRecipe("it is at 4 ps and is to end at 1"), True, "climb_refused"),
        (ValueError("wrong"), True, "climb_failed"),
        (KeyboardInterrupt("stopped by SIGINT"), True, "climb_stopped"),
    ],
)
def test_how_a_climb_ended(tmp_path, error, worked, kind):
    with pytest.raises(type(error)), kept_events(tmp_path, ["l1"]), at_level(0, "level 0"):
        if worked:
            with step("source"):
                raise error
        raise error
    last = read_events(tmp_path)[-1]
    assert last["event"] == kind and last["text"] == str(error)
    assert status_of(tmp_path).state == events.ENDS[kind]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    with kept_events(tmp_path, []), Progress("run", 10) as bar:
        bar.show(temperature=float("nan"), ns_per_day=float("inf"))
    last = [e for e in read_events(tmp_path) if e["event"] == "progress"][-1]
    assert last["temperature"] is None and last["ns_per_day"] is None


def test_a_step_of_seconds_says_that_it_began_and_a_short_one_only_its_end(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with kept_events(tmp_path, []), at_level(1, "l1"):
        with step("map"):
            clock[0] += 1.0
        with step("correct"), step("run"), Progress("l1: run (first)", 2) as bar:
            clock[0] += 3.0
            bar.advance(2)
        with step("ledger"), at_level(1, "l1 (direct)"), step("map"):
            clock[0] += 1.0
    lines = [s.partition("  ")[2] for s in (tmp_path / layout.LOG).read_text().splitlines()]
    assert lines[1:-1] == [
        "l1: map done in 1.0 s",
        "l1: correct",
        "l1: correct done in 3.0 s: 2 steps",
        "l1: ledger",
        "l1 (direct): map done in 1.0 s",
        "l1: ledger done in 1.0 s",
    ]


def test_events_of_a_bar_are_no_more_than_its_clock_allows(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with kept_events(tmp_path, []), Progress("run", 10_000) as bar:
        for _ in range(10_000):
            clock[0] += 0.1
            bar.advance()
    found = [e for e in read_events(tmp_path) if e["event"] == "progress"]
    assert 480 <= len(found) <= 502  # 1,000 s, one every 2 s, one at either end
    lines = [s for s in (tmp_path / layout.LOG).read_text().splitlines() if "  run: " in s]
    assert 9 <= len(lines) <= 11  # one every 10 %, which is more than 30 s


def test_a_bar_outside_a_run_keeps_nothing_and_says_begin_and_end(capsys):
    with Progress("alone", 3, "batch") as bar:
        for _ in range(3):
            bar.advance()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "alone: 3 batches to do" and said[1].startswith("alone done in ")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.96, "1 min 0 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (2e5, "2 d 7 h"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
