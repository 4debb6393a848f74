"""The page in a browser (Debian's chromium, drawn by the processor): load, zoom, play, click, submit,
stop, go on, and what goes wrong.
"""

import itertools
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from run_to_view import N_FRAMES, VARIABLES, chain_frames, chain_run, water_run
from samples import TINY

import cgrec

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install playwright"
)
pytest.importorskip("uvicorn", reason="uvicorn is missing: pip install 'cgrec[view]'")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]
BAD = "<img src=x onerror=window.broken=1>"
#: ms: a processor that draws, beside other work.
PATIENCE = 60_000
DIPEPTIDE = Path(cgrec.__file__).parent / "data" / "alanine_dipeptide.pdb"
PEPTIDE = Path(cgrec.__file__).parent / "data" / "peptides" / "ala10_helix.pdb"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A chain in two variables whose levels have names with a script, a box, and a run that has only
    begun.
    """
    folder = tmp_path_factory.mktemp("home")
    chain_run(folder / "runs" / "chain", name=BAD)
    water_run(folder / "runs" / "water")
    begun = folder / "runs" / "begun"
    begun.mkdir()
    event = {"time": 1.0, "event": "climb_failed", "kind": "ValueError", "text": f"no {BAD}"}
    (begun / "events.jsonl").write_text(json.dumps(event) + "\n")
    return folder


@pytest.fixture(scope="module")
def tiny(home):
    """A small climb of four levels."""
    climb = [sys.executable, "-m", "cgrec", "climb", *TINY, "run=runs/tiny"]
    subprocess.run(climb, cwd=home, check=True, capture_output=True)


@pytest.fixture(scope="module")
def address(home):
    """What `cgrec view` prints."""
    words = [sys.executable, "-m", "cgrec", "view"]
    with subprocess.Popen(words, cwd=home, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def browser():
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture
def wide(browser, address):
    yield from opened(browser, address, 1280)


@pytest.fixture
def narrow(browser, address):
    yield from opened(browser, address, 390)


def opened(browser, address, width):
    """A page that is ready. What its console says against it fails the test, but for requests that
    the test means to be refused.
    """
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.set_default_timeout(PATIENCE)
    said = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if "Policy" in line.text else None)
    foreign = []
    page.on("request", lambda asked: foreign.append(asked.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]")
    yield page
    assert not said
    assert all(url.startswith(("http://127.0.0.1:", "blob:")) for url in foreign)
    page.close()


def proposed(page):
    """Ask for a proposal, again while the work of the test before comes to its end."""
    page.click("#propose")
    end = time.monotonic() + 3 * PATIENCE / 1000
    while not page.locator("#start").count():
        assert time.monotonic() < end, page.locator("#notice").inner_text()
        if "is under way" in page.locator("#notice").inner_text():
            page.click("#propose")
        page.wait_for_timeout(500)


def drop(page, file, title):
    """Drop a structure for a run at 300 K, and get its proposal."""
    page.click("#new")
    page.set_input_files("#files", file)
    page.fill("#title", title)
    page.fill("#kelvin", "300")
    proposed(page)


def says(page, selector, text):
    """Wait for a text: a click is answered after it returns."""
    playwright.expect(page.locator(selector)).to_contain_text(text, timeout=PATIENCE)


def until(page, expression):
    """Wait for javascript to be true: `wait_for_function` needs an eval, which the page forbids."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"still not so: {expression}"
        page.wait_for_timeout(50)


def show(page, run):
    page.select_option("#run", run)
    until(page, f"document.title.startsWith({json.dumps(run)})")


def frame(page):
    return int(page.get_attribute("#canvas", "data-frame"))


def until_frame(page, k):
    until(page, f"document.getElementById('canvas').dataset.frame === '{k}'")


def colours(page):
    """How many colours the canvas shows: one of an empty scene."""
    return page.evaluate(
        """async () => {
        const image = await createImageBitmap(document.getElementById('canvas'));
        const sheet = new OffscreenCanvas(image.width, image.height).getContext('2d');
        sheet.drawImage(image, 0, 0);
        const data = new Uint32Array(sheet.getImageData(0, 0, image.width, image.height).data.buffer);
        return new Set(data).size;
        }"""
    )


def seen(page):
    """PNG of the canvas."""
    return page.locator("#canvas").screenshot()


def test_a_finished_run_is_drawn_zoomed_and_played(tiny, wide):
    show(wide, "tiny")
    until_frame(wide, 0)
    assert wide.locator("#ladder li").count() == 4
    atoms = seen(wide)
    says(wide, "#ladder li:nth-child(1)", "16 sites")
    wide.fill("#zoom", "1.5")
    between = seen(wide)
    wide.click("#ladder li:nth-child(4) button")
    beads = seen(wide)
    assert len({atoms, between, beads}) == 3
    assert wide.get_attribute("#ladder li:nth-child(4) button", "aria-current") == "true"
    wide.click("#beside")
    assert wide.locator("#names span").count() == 4 and seen(wide) != beads
    wide.select_option("#speed", "30")
    wide.click("#play")
    until(wide, "Number(document.getElementById('canvas').dataset.frame) > 3")
    wide.click("#play")
    still = frame(wide)
    wide.wait_for_timeout(300)
    assert frame(wide) == still


def test_keys_do_what_the_buttons_do(wide):
    show(wide, "chain")
    until_frame(wide, 0)
    wide.locator("body").press("ArrowRight")
    until_frame(wide, 1)
    wide.locator("body").press("2")
    assert wide.input_value("#zoom") == "1"
    wide.locator("body").press("[")
    assert wide.input_value("#zoom") == "0"
    wide.locator("body").press("s")
    assert wide.get_attribute("#beside", "aria-pressed") == "true"
    before = seen(wide)
    wide.locator("#canvas").press("ArrowLeft")
    assert frame(wide) == 1 and seen(wide) != before
    wide.locator("body").press("?")
    assert wide.locator("#keys").is_visible()
    wide.keyboard.press("Escape")
    wide.wait_for_selector("#keys", state="hidden")
    wide.locator("#tab-overview").press("ArrowRight")
    wide.wait_for_selector("#tab-energies[aria-selected=true]")


def test_a_click_in_a_free_energy_gives_its_frames_at_every_level(wide, tmp_path):
    show(wide, "chain")
    wide.click("#tab-energies")
    chart = wide.locator("canvas.chart").first
    chart.wait_for()
    assert wide.locator("canvas.chart").count() == 2
    says(wide, "#errors", "in half of the bins")
    box = chart.bounding_box()
    wide.mouse.move(box["x"] + 45, box["y"] + 12)
    wide.mouse.down()
    wide.mouse.move(box["x"] + box["width"] - 16, box["y"] + box["height"] - 40, steps=3)
    wide.mouse.up()
    wide.wait_for_selector("#chosen:not([hidden])")
    says(wide, "#chosen", f"{N_FRAMES} of {N_FRAMES} frames, 100 % of the weight")
    assert wide.input_value("#moments") == "level0"
    says(wide, "#when", f"1 of {N_FRAMES} chosen")
    assert wide.inner_text("#when").startswith(f"1 of {N_FRAMES} chosen")
    heaviest = wide.inner_text("#when").split(": ")[1]
    with wide.expect_download() as taken:
        wide.click("#chosen button:has-text('CSV')")
    taken.value.save_as(tmp_path / "frames.csv")
    head, first, *_ = (tmp_path / "frames.csv").read_text().splitlines()
    assert head.startswith("frame,replica,weight,phi")
    number, replica = map(int, first.split(",")[:2])
    assert heaviest.startswith(f"replica {replica + 1}, frame {number // 4 + 1} of")
    wide.keyboard.press("Escape")
    wide.wait_for_selector("#chosen", state="hidden")
    wide.locator("canvas.chart").nth(1).focus()
    wide.keyboard.press("ArrowUp")
    wide.keyboard.press("Enter")
    until(
        wide,
        "!document.getElementById('chosen').hidden || !document.getElementById('notice').hidden",
    )


def dihedral(frames, names):
    """(n_frames,) degrees."""
    at = [frames.system.names.index(name) for name in names]
    a, b, c, d = np.moveaxis(np.asarray(frames.positions[:, at], float), 1, 0)
    first, second = np.cross(b - a, c - b), np.cross(c - b, d - c)
    axis = (c - b) / np.linalg.norm(c - b, axis=1, keepdims=True)
    sine = (np.cross(first, second) * axis).sum(1)
    return np.degrees(np.arctan2(sine, (first * second).sum(1)))


def test_a_brushed_region_gives_its_own_frames_with_their_weights(wide, tmp_path):
    """Dihedrals and weights are computed here anew."""
    show(wide, "chain")
    wide.click("#tab-energies")
    chart = wide.locator("canvas.chart").first
    chart.wait_for()
    box = chart.bounding_box()
    wide.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.3 * box["height"])
    wide.mouse.down()
    wide.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=3)
    wide.mouse.up()
    wide.wait_for_selector("#chosen:not([hidden])")
    said = wide.inner_text("#chosen")
    assert re.search(r" % of the weight \(± [\d.]+ %\)", said)
    with wide.expect_download() as taken:
        wide.click("#chosen button:has-text('CSV')")
    rows = np.loadtxt(taken.value.path(), delimiter=",", skiprows=1)
    frames = chain_frames()
    inside = np.ones(N_FRAMES, bool)
    for name, sites in VARIABLES.items():
        low, high = map(float, re.search(rf"{name} (\S+) to (\S+)°", said).groups())
        angle = dihedral(frames, sites)
        inside &= (low < angle) & (angle < high)
    assert 5 < inside.sum() < N_FRAMES - 5
    assert sorted(rows[:, 0]) == np.flatnonzero(inside).tolist()
    weights = frames.weights / np.mean(frames.weights)
    np.testing.assert_allclose(rows[:, 2], weights[rows[:, 0].astype(int)], rtol=1e-5)
    share = 100 * weights[inside].sum() / N_FRAMES
    found = re.search(r"(\d+) of 240 frames, (\S+) % of the weight", said)
    assert int(found[1]) == len(rows) and float(found[2]) == pytest.approx(share, rel=0.01)


def test_the_atoms_of_a_level_are_brought_back_and_shown(tiny, wide, home):
    show(wide, "tiny")
    until_frame(wide, 0)
    wide.select_option("#moments", "level1")
    wide.click("#back")
    says(wide, "#back", "Atoms are brought back")
    until(wide, "document.getElementById('moments').value === 'descent_1_0'")
    until_frame(wide, 0)
    wide.wait_for_selector("#ladder li:nth-child(1) button[aria-current=true]")
    atoms = seen(wide)
    wide.locator("body").press("ArrowRight")
    until_frame(wide, 1)
    assert seen(wide) != atoms
    assert wide.locator("#back").count() == 0  # somebody has
    (place,) = (home / "runs" / "tiny").glob("descent*")
    restored = cgrec.Frames.load(next(place.rglob("frames.json")).parent)
    levels = cgrec.load(home / "runs" / "tiny").levels
    beads = levels[1].mapping(restored).positions
    known = np.asarray(levels[1].frames.positions)
    assert restored.n_sites == 16 and len(restored)
    # distances of beads do not depend on how a structure is turned
    ends = np.linalg.norm(beads[:, 0] - beads[:, -1], axis=-1)
    all_ends = np.linalg.norm(known[:, 0] - known[:, -1], axis=-1)
    assert np.abs(ends[:, None] - all_ends).min(1).max() < 1e-4


def test_contacts_shells_and_ledger_lead_to_frames(tiny, wide):
    show(wide, "water")
    wide.click("#tab-shells")
    chart = wide.locator("canvas.chart").first
    chart.wait_for()
    chart.click()
    wide.wait_for_selector("#chosen:not([hidden])")
    says(wide, "#chosen", "nm")
    assert wide.input_value("#moments") == "level1"
    show(wide, "tiny")
    refused = []
    wide.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    wide.click("#tab-contacts")
    wide.wait_for_selector("canvas.chart, #panel p.quiet:has-text('no contact map')")
    assert not refused
    wide.click("#tab-ledger")
    wide.locator("#panel .bars button:not([disabled])").first.click()
    wide.wait_for_selector("canvas.chart")
    assert wide.get_attribute("#tab-energies", "aria-selected") == "true"


def test_names_with_a_script_are_shown_as_text(wide):
    show(wide, "chain")
    says(wide, "#ladder", BAD)
    for tab in ("overview", "energies", "contacts", "ledger", "live"):
        wide.click(f"#tab-{tab}")
        wide.wait_for_timeout(200)
    show(wide, "begun")
    wide.wait_for_selector("#panel .notice")
    says(wide, "#panel", BAD)
    assert wide.evaluate("window.broken") is None and wide.locator("img").count() == 0


def test_a_run_that_has_only_begun_says_so(wide):
    show(wide, "begun")
    says(wide, "#blank", "No frames yet")
    wide.wait_for_selector("#state:has-text('failed')")
    wide.click("#tab-ledger")
    says(wide, "#panel", "No rows yet")


def test_a_damaged_run_is_shown_as_far_as_it_can_be_read(wide, home):
    run = home / "runs" / "cut"
    chain_run(run)
    (run / "level1" / "frames" / "positions.npy").write_bytes(b"cut")
    wide.reload()
    wide.wait_for_selector("html[data-ready=yes]")
    show(wide, "cut")
    until_frame(wide, 0)
    says(wide, "#panel", "positions.npy")
    shutil.rmtree(run)


def test_without_its_token_the_page_says_what_to_do(browser, address):
    page = browser.new_page()
    page.goto(address.partition("#")[0])
    page.wait_for_selector("#notice:not([hidden])", timeout=PATIENCE)
    says(page, "#notice", "open the address that cgrec view printed")
    assert page.locator("#ladder li").count() == 0
    page.close()


def test_the_token_leaves_the_address(wide, address):
    assert "token" not in wide.url and "token" in address


def test_a_phone_shows_all_of_it(narrow):
    show(narrow, "chain")
    until_frame(narrow, 0)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
    for tab in ("energies", "ledger", "live", "overview"):
        narrow.click(f"#tab-{tab}")
        narrow.wait_for_timeout(300)
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 390, tab
    sizes = narrow.evaluate(
        "[...document.querySelectorAll('button')].filter((b) => b.offsetParent)"
        ".map((b) => b.offsetHeight)"
    )
    assert min(sizes) >= 36
    narrow.click("#new")
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390


def test_many_sites_are_drawn_and_change(wide, home):
    """Fifty thousand, as discs; a frame is one upload."""
    from cgrec import Frames, System

    side = 37
    import numpy as np

    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3) * 0.3
    x = grid + 0.05 * rng.normal(size=(3, side**3, 3))
    system = System(names=("AR",) * side**3, masses=np.full(side**3, 40.0))
    many = Frames(system, x.astype(np.float32), 300.0, box=0.3 * side * np.eye(3))
    many.save(home / "runs" / "many" / "level0" / "frames")
    wide.reload()
    wide.wait_for_selector("html[data-ready=yes]")
    show(wide, "many")
    until_frame(wide, 0)
    before = seen(wide)
    wide.locator("body").press("ArrowRight")
    until_frame(wide, 1)
    assert seen(wide) != before
    shutil.rmtree(home / "runs" / "many")


HOLD = """
import sys, time
from cgrec.run.lock import only_here
with only_here(sys.argv[1]):
    print("here", flush=True)
    time.sleep(600)
"""


def test_a_run_at_work_is_shown_as_it_is_without_a_reload(tiny, wide, home):
    """Card, list and pill follow what a climb leaves on disk and says."""
    folder, whole = home / "runs" / "watched", home / "runs" / "tiny"
    shutil.copytree(whole, folder)
    top = folder / "level1"
    for higher in (2, 3):
        shutil.rmtree(folder / f"level{higher}")
    for name in ("potential.pt", "report.json", "digests.json"):
        (top / name).unlink()
    shutil.rmtree(top / "frames")
    (folder / "digests.json").unlink()
    host = socket.gethostname()

    def say(event, **about):
        with (folder / "events.jsonl").open("a") as file:
            file.write(json.dumps({"time": time.time(), "event": event, **about}) + "\n")

    (folder / "events.jsonl").unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE
    ) as climb:
        try:
            assert climb.stdout.readline() == b"here\n"
            say("climb_begin", pid=climb.pid, host=host, levels=["l1", "l2", "l3"])
            say("step_begin", level=1, name="l1", step="fit")
            wide.reload()
            wide.wait_for_selector("html[data-ready=yes]")
            show(wide, "watched")
            says(wide, "#state", "running")
            says(wide, "#ladder li:nth-child(2)", "fit …")
            shutil.copy(whole / "level1" / "potential.pt", top)
            say("step_end", level=1, name="l1", step="fit", seconds=3.0)
            says(wide, "#ladder li:nth-child(2)", "run …")
            says(wide, "#run option[value=watched]", "running")
        finally:
            climb.kill()
    say("climb_failed", kind="ValueError", text="replicas strayed")
    says(wide, "#state", "failed")
    says(wide, "#run option[value=watched]", "failed")
    shutil.rmtree(folder)


def shorten(path):
    """A recipe that takes seconds."""
    text = path.read_text()
    text = text.replace(
        "dynamics: {length: 250, equilibration: 200,",
        "dynamics: {n_replicas: 8, length: 20, equilibration: 1, save_every: 0.2,",
    )
    text = re.sub(r"    (mean_forces|strays|corrections): .*\n", "", text)
    short = "dynamics: {timestep: 0.004, length: 2.0, save_every: 0.1, equilibration: 0.2, n_replicas: 8}\n    training: {steps: 200, validate_every: 100}"
    text = re.sub(r"dynamics: \{timestep: .*\}", short, text)
    path.write_text(text + "\ngo_on: true\nbins: 8\nthreads: 1\n")


def test_a_smiles_is_drawn_with_its_proposed_beads(wide, home):
    """Written in place of files; another one under the same name is no silent change."""
    wide.click("#new")
    wide.fill("#smiles", "CC(=O)Nc1ccc(O)cc1")
    wide.fill("#title", "paracetamol")
    proposed(wide)
    says(wide, "#submit", "learned from GFN2-xTB")
    assert "11 beads" in wide.locator("#submit p:has-text('beads; grey atoms')").inner_text()
    made = home / "runs" / "paracetamol.files" / "paracetamol_3d.pdb"
    assert made.read_text().count("HETATM") == 20
    wide.fill("#smiles", "CCO")
    wide.click("#propose")
    says(wide, "#notice", "has another SMILES already")
    wide.fill("#title", "not_one")
    wide.fill("#smiles", "C(")
    wide.click("#propose")
    says(wide, "#notice", "cannot be read")


def test_from_a_file_to_a_watched_run_that_stops_and_goes_on(wide, home):
    """A minute or two: drop a PDB, take other beads, start, stop at level 0, go on to the end."""
    pytest.importorskip("openmm", reason="openmm is missing: pip install 'cgrec[openmm]'")
    drop(wide, PEPTIDE, "dropped")
    says(wide, "#submit", "alpha carbons")
    box = wide.locator("canvas.sketch").bounding_box()
    chosen = wide.locator("#submit p:has-text('beads; grey atoms')")
    assert chosen.inner_text().startswith("10 beads")
    for x in range(10, int(box["width"]) - 10, 12):
        wide.mouse.click(box["x"] + x, box["y"] + box["height"] / 2)
        if "Chosen" in chosen.inner_text():
            break
    wide.click("#join")
    assert chosen.inner_text().startswith(("10 beads", "11 beads"))
    recipe = home / "runs" / "dropped.files" / "dropped.yaml"
    shorten(recipe)
    wide.click("#start")
    wide.wait_for_selector("#state:has-text('running')", timeout=2 * PATIENCE)
    wide.click("#tab-live")
    wide.wait_for_selector("[role=progressbar]")
    wide.click("#panel button:has-text('Stop')")
    wide.wait_for_selector("#state:has-text('stopped')")
    says(wide, "#panel", "SIGTERM")
    wide.click("#panel button:has-text('Go on')")
    wide.wait_for_selector("#state:has-text('finished')", timeout=6 * PATIENCE)
    until(wide, "document.querySelectorAll('#ladder li').length === 3")
    assert wide.locator("#panel li").count() >= 3  # verdicts
    wide.click("#tab-overview")
    with wide.expect_download(timeout=2 * PATIENCE) as taken:
        wide.click("#panel button:has-text('report')")
    assert "<title>" in taken.value.path().read_text()
    with wide.expect_download(timeout=2 * PATIENCE) as taken:
        wide.click("#panel button:has-text('package')")
    assert len(cgrec.load(taken.value.path()).levels) == 3


def test_beads_that_were_clicked_together_are_those_of_the_run(wide, home):
    pytest.importorskip("openmm", reason="openmm is missing: pip install 'cgrec[openmm]'")
    drop(wide, DIPEPTIDE, "by_hand")
    chosen = wide.locator("#submit p:has-text('beads; grey atoms')")
    atoms = click_bonded(wide, chosen)
    wide.click("#join")
    says(wide, "#submit", "Levels above the first are left out")
    n_beads = int(chosen.inner_text().split()[0])
    wide.click("#keep")
    until(wide, "document.getElementById('keep').disabled")
    shorten(home / "runs" / "by_hand.files" / "by_hand.yaml")
    wide.click("#start")
    run = home / "runs" / "by_hand"
    end = time.monotonic() + 2 * PATIENCE / 1000
    while not (run / "level1" / "mapping.npz").exists():
        assert time.monotonic() < end, "there is no first level"
        wide.wait_for_timeout(200)
    wide.click("#tab-live")
    if wide.locator("#panel button:has-text('Stop')").count():
        wide.click("#panel button:has-text('Stop')")
    until(wide, "/stopped|finished/.test(document.getElementById('state').textContent)")
    mapping = cgrec.Mapping.load(run / "level1" / "mapping.npz")
    assert mapping.coarse.n_sites == n_beads
    beads = [set(np.flatnonzero(row)) for row in mapping.position_weights]
    assert {mapping.fine.full_labels.index(atom) for atom in atoms} in beads
    assert [path.name for path in sorted(run.glob("level*"))] == ["level0", "level1"]


def click_bonded(page, chosen):
    """Click over the molecule, each atom twice, until two bonded ones were hit; choose these and give
    their labels.
    """
    system = cgrec.read(DIPEPTIDE, temperature=300).system
    bonds = {frozenset(system.full_labels[k] for k in pair) for pair in system.bonds.tolist()}
    box = page.locator("canvas.sketch").bounding_box()
    hit = {}
    for x, y in itertools.product(range(10, int(box["width"]) - 10, 16), (0.5, 0.42, 0.58)):
        place = box["x"] + x, box["y"] + y * box["height"]
        page.mouse.click(*place)
        for label in re.findall(r"\w+:\w+:\w+", chosen.inner_text()):
            hit[label] = place
            page.mouse.click(*place)
        pair = next((pair for pair in bonds if pair <= hit.keys()), None)
        if pair is None:
            continue
        for label in pair:
            page.mouse.click(*hit[label])
        if all(label in chosen.inner_text() for label in pair):
            return sorted(pair)
        # one that is chosen is larger, and hid the other
        for label in re.findall(r"\w+:\w+:\w+", chosen.inner_text()):
            page.mouse.click(*hit[label])
        bonds.remove(pair)
    raise AssertionError(f"no two bonded atoms were hit, but {', '.join(hit)}")
