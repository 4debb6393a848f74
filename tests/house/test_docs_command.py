"""`cgrec docs`: every page as HTML, from a folder of pages as the wheel has it."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from cgrec.cli import main

pages = pytest.importorskip(
    "cgrec.commands._pages",
    reason="markdown-it-py is missing: pip install markdown-it-py",
    exc_type=ImportError,
)


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    """Of the pages that the command rendered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    main(["docs", "glossary"])
    path = Path(capsys.readouterr().out.strip())
    assert path.name == "glossary.html" and tmp_path in path.parents
    return path.parent


def test_every_page_is_rendered_and_no_link_is_dead(folder):
    made = {path.stem for path in folder.glob("*.html")}
    assert made == {path.stem for path in pages.PAGES.glob("*.md")}
    for path in folder.glob("*.html"):
        text = path.read_text()
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            file, _, anchor = target.partition("#")
            if "://" in target:
                continue
            place = folder / file if file else path
            assert place.is_file(), f"{path.name}: {target}"
            assert not anchor or f'id="{anchor}"' in place.read_text(), f"{path.name}: {target}"


def test_nothing_is_fetched_from_elsewhere(folder):
    for path in folder.glob("*.html"):
        assert not re.search(r'(?:src|<link[^>]*href)="https?:', path.read_text()), path.name


def test_tables_code_and_signs_come_out():
    made = pages.html("# A & B\n\n| a | b |\n|---|---|\n| `x < y` | [z](install.md#extras) |\n")
    assert '<h1 id="a--b">A &amp; B</h1>' in made
    assert "<code>x &lt; y</code>" in made and 'href="install.html#extras"' in made


def test_a_page_that_is_not_there():
    with pytest.raises(SystemExit, match="page: expected one of .*did you mean glossary"):
        main(["docs", "glosary"])


def test_without_a_cache_the_pages_are_in_a_temporary_folder(tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    main(["docs"])
    assert Path(capsys.readouterr().out.strip()).is_file()


ROOT = Path(__file__).parents[2]


def test_the_site_has_every_page():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["yardang"]
    listed = {Path(page).name for page in settings["pages"]}
    assert listed == {page.name for page in pages.PAGES.glob("*.md")}


@pytest.mark.skipif(find_spec("yardang") is None, reason="pip install -e '.[docs]' builds the site")
def test_the_site_is_built_without_a_warning(tmp_path):
    """Ten seconds."""
    for name in ("README.md", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "cgrec" / "docs", tmp_path / "cgrec" / "docs")
    command = [sys.executable, "-m", "yardang.cli", "build", "--warning-is-error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "docs" / "html" / "cgrec" / "docs" / "home.html").exists()
