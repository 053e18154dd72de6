"""Where pairs of unrelaxed and relaxed crystals lie: tables of both, two files, or a folder of either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from empnn.data.reading import files_of, holds_crystals, holds_pairs
from empnn.errors import ConfigError
from empnn.files import COMPRESSED

SIDES = ("unrelaxed", "relaxed")
_SPLITS = ("train", "val", "test", "dev")
_WAYS = (
    "a table with the columns cif_unrelaxed and cif_relaxed, two files [unrelaxed, relaxed], "
    "or a folder that holds unrelaxed.* and relaxed.*"
)

PairFiles = list[tuple[Path, Path]]
"""Files of unrelaxed and of relaxed crystals in the same order; twice the same one where it holds both."""


def pair_files(given: str | Sequence[str], split: str = "train") -> PairFiles:
    """The files that `data.pairs` names.

    A file or pattern stands for tables of both sides; a list of two, also with a comma, for files, patterns or folders
    of the unrelaxed and of the relaxed crystals. In a folder the words of a name (between `_`, `-` and `.`) tell what
    lies under it: `unrelaxed` or `relaxed`, else both; and `train`, `val`, `test` or `dev`. So `train_unrelaxed.extxyz`
    and `train_relaxed.extxyz` are what to train on, `mine_val.csv` what to select by. Where nothing is called `train`,
    all that has none of these words is to train on.

    Args:
        given: What the user wrote.
        split: `train` or `val`, which only a folder has.

    Raises:
        ConfigError: If there is no such file, one of two is missing, or there are not as many on both sides.
    """
    if isinstance(given, str):
        given = given.split(",") if "," in given and not Path(given).exists() else [given]
    names = [name.strip() for name in given]
    if split != "train" and not (len(names) == 1 and Path(names[0]).is_dir()):
        raise ConfigError(f"data.select_on={split} needs a folder of pairs with a {split} split; {names[0]} is none")
    if len(names) == 2:
        return _two_sides(Path(names[0]), Path(names[1]))
    if len(names) != 1:
        raise ConfigError(f"data.pairs names {len(names)} files; give {_WAYS}")
    path = Path(names[0])
    if path.is_dir():
        return _in_folder(path, split)
    files = files_of(path)
    if files == [path] and not path.exists():
        raise ConfigError(f"data.pairs={path} does not exist")
    for file in files:
        if not holds_pairs(file):
            raise ConfigError(f"data.pairs={file}: such a file cannot hold both sides of pairs; give {_WAYS}")
    return [(file, file) for file in files]


def _two_sides(unrelaxed: Path, relaxed: Path) -> PairFiles:
    """Files one by one as they are sorted; in folders, those of one name whatever their endings."""
    places = (unrelaxed, relaxed)
    for place in places:
        if not place.exists() and files_of(place) == [place]:
            raise ConfigError(f"data.pairs: {place} does not exist")
    files = [files_of(place) for place in places]
    if all(place.is_dir() for place in places):
        names = [[_stem(file.relative_to(p)) for file in f] for p, f in zip(places, files, strict=True)]
        alone = [p / name for p, n, o in zip(places, names, names[::-1], strict=True) for name in n if name not in o]
        if alone:
            raise ConfigError(
                f"data.pairs: {alone[0]} is on one side only; give {unrelaxed} and {relaxed} the same names"
            )
        files = [[file for _, file in sorted(zip(n, f, strict=True))] for n, f in zip(names, files, strict=True)]
    if len(files[0]) != len(files[1]):
        counts = f"{len(files[0])} files in {unrelaxed} and {len(files[1])} in {relaxed}"
        raise ConfigError(f"data.pairs: {counts}; give as many on both sides")
    return list(zip(*files, strict=True))


def _in_folder(folder: Path, split: str) -> PairFiles:
    places = {place: _words(place) for place in sorted(folder.iterdir()) if _may_hold_pairs(place)}
    named = {place for place, words in places.items() if split in words}
    if not named and split == "train":
        named = {place for place, words in places.items() if not set(_SPLITS) & set(words)}
    found: PairFiles = []
    sides: dict[tuple[str, ...], dict[str, Path]] = {}
    for place in sorted(named):
        side = next((side for side in SIDES if side in places[place]), None)
        if side is None:
            found.append((place, place))
            continue
        group = sides.setdefault(tuple(word for word in places[place] if word != side), {})
        if side in group:
            raise ConfigError(f"data.pairs: {group[side]} and {place} are the same side of the same pairs; remove one")
        group[side] = place
    for group in sides.values():
        missing = [side for side in SIDES if side not in group]
        if missing:
            raise ConfigError(f"data.pairs: {next(iter(group.values()))} has no {missing[0]} partner in {folder}")
        found += _two_sides(group["unrelaxed"], group["relaxed"])
    if not found and split != "train":
        raise ConfigError(f"data.select_on={split} needs pairs named {split}, as {split}.csv; {folder} holds none")
    if not found:
        raise ConfigError(f"data.pairs={folder}: no pairs to train on in this folder; give {_WAYS}")
    return found


def _may_hold_pairs(place: Path) -> bool:
    if place.name.startswith("."):
        return False
    if set(SIDES) & set(_words(place)):
        return place.is_dir() or holds_crystals(place)
    return place.is_file() and holds_pairs(place)


def _words(place: Path) -> list[str]:
    name = place.name if place.is_dir() else _stem(Path(place.name))
    return re.split(r"[_\-.]", name.lower())


def _stem(path: Path) -> str:
    """The name without endings, by which files of both sides belong together."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return str(plain.with_suffix(""))
