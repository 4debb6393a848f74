"""Packages that a plain install of cgrec does not bring, asked for before work and not in its midst."""

from __future__ import annotations

from importlib.util import find_spec


def need(owner: str, package: str, extra: str) -> None:
    """Refuse what `owner` asks for where `package` is not installed.

    Args:
        owner: class and argument, for the message.
        package: as it is imported.
        extra: of cgrec, which brings it.

    Raises:
        ImportError: it is not there, with the way to have it.
    """
    if find_spec(package) is None:
        raise ImportError(
            f"{owner}: expected the package {package}, found none; pip install 'cgrec[{extra}]'",
            name=package,
        )
