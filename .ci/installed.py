"""Checks, with the Python of an environment that holds the built wheel, that the wheel is all of Osler.

Its packages lie in that environment and not in the checkout; each holds every file of its source, byte for byte, and no other;
the wheel asks for what pyproject.toml declares, all of it is there, and every entry point loads.

    python .ci/installed.py CHECKOUT
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main(checkout: Path) -> int:
    """Print what is wrong, and return the exit code."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    sources = [checkout / path for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
    osler = distribution("osler")
    faults = [*misplaced(sources), *asked(osler, project["project"]), *absent(osler), *broken(project["project"])]
    print("\n".join(faults) or f"osler {osler.version} of the wheel: {len(sources)} packages, whole")
    return 1 if faults else 0


def files(folder: Path) -> dict[str, bytes]:
    """Return what the files of a package hold, by their path in it."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def misplaced(sources: list[Path]) -> Iterator[str]:
    """Tell packages that are not the environment's, and files that differ from their source."""
    for source in sources:
        found = find_spec(source.name)
        place = Path(str(found.origin)).parent if found else Path()
        if not place.is_relative_to(sys.prefix):
            yield f"{source.name} is {place}, not of {sys.prefix}"
            continue
        here, there = files(source), files(place)
        differing = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
        yield from (f"{source.name}/{name} is not as in the checkout" for name in sorted(differing))


def asked(osler: Distribution, declared: dict[str, Any]) -> Iterator[str]:
    """Tell requirements that the wheel's metadata and pyproject.toml do not share."""
    extras = declared["optional-dependencies"]
    wanted = {(plain(Requirement(line)), "") for line in declared["dependencies"]}
    wanted |= {(plain(one), extra) for extra in extras for one in expanded(extra, extras)}
    held = set()
    for line in osler.requires or ():
        requirement = Requirement(line)
        extra = str(requirement.marker or "").partition("extra == ")[2].strip("\"'")
        held.add((plain(requirement), extra))
    yield from (
        f"requirement {name} [{extra}]: in one of wheel and pyproject.toml alone" for name, extra in wanted ^ held
    )


def plain(requirement: Requirement) -> str:
    """Return a requirement without its marker, its name as an index writes it."""
    extras = ",".join(sorted(requirement.extras))
    return f"{canonicalize_name(requirement.name)}[{extras}]{requirement.specifier}"


def expanded(extra: str, extras: dict[str, list[str]]) -> Iterator[Requirement]:
    """Yield the requirements of an extra; those of an extra that it names stand for the name."""
    for requirement in map(Requirement, extras[extra]):
        if requirement.name == "osler":
            for one in requirement.extras:
                yield from expanded(one, extras)
        else:
            yield requirement


def absent(osler: Distribution) -> Iterator[str]:
    """Tell what the demonstration and the tests require and the environment does not hold."""
    waiting, seen = [("osler", frozenset({"demo", "dev"}))], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                continue
            try:
                if not requirement.specifier.contains(version(requirement.name), prereleases=True):
                    yield f"{name} requires {requirement}, and {version(requirement.name)} is installed"
                waiting.append((requirement.name, frozenset(requirement.extras)))
            except ModuleNotFoundError:
                yield f"{name} requires {requirement}, which is not installed"


def broken(declared: dict[str, Any]) -> Iterator[str]:
    """Tell entry points that are not declared, not installed, or do not load."""
    groups = {**declared["entry-points"], "console_scripts": declared["scripts"]}
    for group, wanted in groups.items():
        held = {one.name: one for one in entry_points(group=group) if one.dist and one.dist.name == "osler"}
        yield from (f"entry point {group}: {name} in one alone" for name in wanted.keys() ^ held.keys())
        for one in held.values():
            try:
                one.load()
            except (ImportError, AttributeError) as error:
                yield f"entry point {group}: {one.name} does not load: {error!r}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
