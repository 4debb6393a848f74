"""What who waits for jobs is shown."""

from cgrec.cluster.watching import Watch, together
from cgrec.run.events import emit, kept_events, kept_progress, note


def test_new_lines_are_shown_once(tmp_path, capsys):
    with kept_events(tmp_path, ["l1"]):
        watch = Watch(tmp_path)
        note("l1: fit done")
        capsys.readouterr()
        watch([])
        watch([])
    assert capsys.readouterr().err.count("l1: fit done") == 1


def test_numbers_of_events_are_shown_once(tmp_path, capsys):
    watch = Watch(tmp_path)
    with kept_progress(tmp_path):
        emit("progress", task="l1: run", done=30, total=120, unit="step", temperature=301.0)
    watch([])
    watch([])
    said = capsys.readouterr().err
    assert said.count("l1: run: 30 of 120 steps (25%), temperature 301") == 1


def test_blocks_are_counted_together(tmp_path, capsys):
    watch = Watch(tmp_path)
    watch.folders = [tmp_path / "progress0", tmp_path / "progress1", tmp_path / "progress2"]
    for folder, done in zip(watch.folders, (10, 50)):
        with kept_progress(folder):
            emit(
                "progress", task=f"l1: run, replicas {done} to 9", done=done, total=100, unit="step"
            )
    watch([])
    assert "l1: run: 60 of 200 steps (30%) of 2 blocks" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.jsonl"))


def test_together_of_one_that_has_not_begun():
    event = {"task": "l1: run, replicas 0 to 1", "done": 0, "total": 0}
    assert together([event]) == "l1: run: 0 of 0 steps (0%) of 1 blocks"
