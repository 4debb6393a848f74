"""What a site is called: labels such as "A:TYR2:CA", and their short forms where these mean one
site.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

#: How many names an error lists.
_LISTED = 12
#: Above so many sites near misses are looked for among the short labels, which many sites share:
#: seconds otherwise.
MOST_COMPARED = 5000


class SiteError(KeyError):
    """A label that does not mean one site.

    Attributes:
        candidates: labels of the sites it could mean; empty where it means none.
    """

    def __init__(self, sentence: str, candidates: tuple[str, ...] = ()):
        super().__init__(sentence)
        self.candidates = candidates

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the sentence in quotes


class Address(NamedTuple):
    """Where a site stands: chain "A", residue "TYR", number "52A" (with its insertion code), site
    name "CA".

    Chain and number are "" where nobody states them.
    """

    chain: str
    residue: str
    number: str
    name: str

    @property
    def forms(self) -> tuple[str, ...]:
        """All labels of the site, from the longest to the shortest; the shorter ones may mean
        others too.
        """
        numbered = f"{self.residue}{self.number}:{self.name}"
        plain = f"{self.residue}:{self.name}"
        longest = [f"{self.chain}:{numbered}", f"{self.chain}:{plain}"] if self.chain else []
        return tuple(dict.fromkeys([*longest, numbered, plain, self.name]))


class SiteLabels:
    """The labels of all sites of a System, and the site each of them means.

    Args:
        addresses: of the sites, in order.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = tuple(addresses)

    @property
    def full(self) -> tuple[str, ...]:
        """All that is known of each site."""
        return tuple(address.forms[0] for address in self.addresses)

    @property
    def unique(self) -> tuple[str, ...]:
        """The shortest label with a residue name that means each site alone, else with its index."""
        known = self.known
        return tuple(
            unique_label(site, address, known) for site, address in enumerate(self.addresses)
        )

    @cached_property
    def known(self) -> dict[str, list[int]]:
        """{label: the sites it may mean}."""
        return sites_by_label(self.addresses)

    def site(self, label: str) -> int:
        """Index of the one site called `label`, as `System.site`; "#7" is the index.

        Raises:
            SiteError: no site, or several, are called so.
        """
        if label.startswith("#") and label[1:].isdigit():
            return self._at(label)
        found = self.known.get(label) or self._numbered(label)
        if not found:
            few = len(self.addresses) <= MOST_COMPARED
            short = tuple(f"{a.residue}:{a.name}" for a in self.addresses)
            raise not_found(label, self.unique if few else short)
        if len(found) > 1:
            labels = self.unique
            raise ambiguous(label, [labels[site] for site in found])
        return found[0]

    def _at(self, label: str) -> int:
        number = int(label[1:])
        if number < len(self.addresses):
            return number
        raise SiteError(
            f"site {label!r}: expected an index below {len(self.addresses)}, found {label[1:]}; "
            f"give #0 to #{len(self.addresses) - 1}"
        )

    def _numbered(self, label: str) -> list[int]:
        """The site of a label with its index, as in `unique`: "HOH:O (#12)"."""
        form, _, index = label.removesuffix(")").rpartition(" (#")
        site = int(index) if form and index.isdigit() else len(self.addresses)
        known = site < len(self.addresses) and form in self.addresses[site].forms
        return [site] if known else []


def sites_by_label(addresses: Iterable[Address]) -> dict[str, list[int]]:
    """{label: sites it may mean} of every form of every address."""
    found: dict[str, list[int]] = {}
    for site, address in enumerate(addresses):
        for form in address.forms:
            found.setdefault(form, []).append(site)
    return found


def unique_label(site: int, address: Address, known: dict[str, list[int]]) -> str:
    """The shortest label with a residue name that means this site alone, else the longest with its
    index.
    """
    forms = address.forms
    alone = [form for form in reversed(forms[:-1]) if known[form] == [site]]
    return alone[0] if alone else f"{forms[0]} (#{site})"


def not_found(label: str, labels: Sequence[str]) -> SiteError:
    """The error of a label that means no site of a System with these `labels`, with near misses."""
    return SiteError(
        f"site {label!r}: expected one site, found none called so; "
        f"{suggestion(label, labels)}. A site is "
        'called "A:TYR2:CA" (chain, residue name and number, site name), or "TYR2:CA", '
        '"TYR:CA" or "CA" where '
        "that means one site"
    )


def suggestion(label: str, labels: Sequence[str]) -> str:
    """Labels that look like `label`, else the first ones there are, in words."""
    spoken = {name.upper(): name for name in dict.fromkeys(labels)}
    if ":" not in label:  # a bare name is compared with bare names
        spoken = {
            name.rpartition(":")[2].upper(): name for name in reversed(spoken.values())
        } | spoken
    near = difflib.get_close_matches(label.upper(), list(spoken), n=_LISTED, cutoff=0.6)
    if near:
        return f"near to it are {', '.join(dict.fromkeys(spoken[name] for name in near))}"
    return f"there are {listed(list(dict.fromkeys(labels)))}"


def ambiguous(label: str, candidates: Sequence[str]) -> SiteError:
    """The error of a label that means several sites."""
    return SiteError(
        f"site {label!r}: expected one site, found {len(candidates)}: {listed(candidates)}; "
        "write one of these",
        tuple(candidates),
    )


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
