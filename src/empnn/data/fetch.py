"""The benchmark sets from where they are published, each file verified by its git blob id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from empnn.data.download import Download, naming
from empnn.errors import ConfigError
from empnn.files import data_folder

COMMIT = "f857f598d6f6cca5dc1ea0582d228f12dcc2c2ea"
BASE_URL = f"https://raw.githubusercontent.com/txie-93/cdvae/{COMMIT}/data"
TIMEOUT = 30.0

Progress = Callable[[Path, int, int | None], None]


@dataclass(frozen=True)
class Source:
    """A published set.

    Attributes:
        blobs: The git blob id of each split's file.
        credit: Where the set comes from, under which licence.
    """

    blobs: Mapping[str, str]
    credit: str


_CDVAE = "splits of the CDVAE benchmark data (github.com/txie-93/cdvae, MIT; Xie et al., arXiv:2110.06197)"

SOURCES: dict[str, Source] = {
    "carbon_24": Source(
        {
            "train": "5e7ae970fbad8ddc46b6963e8cd6e425f11783a6",
            "val": "b3e29b927883642426ca1d9632d00359b412742b",
            "test": "9beca843fde489de1fe288b32f9e3ff710d42803",
        },
        f"Carbon-24 after Pickard 2020 (Materials Cloud 2020.0026, open access); {_CDVAE}",
    ),
    "perov_5": Source(
        {
            "train": "0769074b5d51d293b765c4371b8f55c468c9c9f2",
            "val": "4a2c8dde98347dd0e01fa83dcf3982c2abe98f9f",
            "test": "d3c5d5af4b27a2a139149f2bb73c8a3dba9d8ac1",
        },
        f"Perov-5 after Castelli et al. 2012 (Computational Materials Repository); {_CDVAE}",
    ),
    "mp_20": Source(
        {
            "train": "b1c9d498565ac2fd8d075a51ff2ef5e51ba6c21f",
            "val": "7efe4d7ebeb4f460ceaad35e5326c42111d9c9a1",
            "test": "5dc643041df53f5ce4970a79930ad262b4f07acd",
        },
        f"MP-20 after the Materials Project (Jain et al. 2013, CC BY 4.0); {_CDVAE}",
    ),
}


@dataclass(frozen=True)
class Fetched:
    """A verified file of a set.

    Attributes:
        path: The file.
        name: Its set.
        split: Its split.
        size: Its bytes.
        downloaded: False if it was there before.
    """

    path: Path
    name: str
    split: str
    size: int
    downloaded: bool


def source(name: str) -> Source:
    """Where a set comes from.

    Raises:
        ConfigError: If there is no set of that name.
    """
    if name not in SOURCES:
        raise ConfigError(f"no data set {name} to fetch; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    base_url: str = BASE_URL,
    timeout: float = TIMEOUT,
    on_progress: Progress | None = None,
) -> tuple[Fetched, ...]:
    """Download what is missing of a set to `folder/name/<split>.csv`, with a README.md that says where it comes from.

    Whatever stops it, the next call goes on from there.

    Args:
        name: A key of `SOURCES`.
        folder: Holds the folders of the sets; `empnn.files.data_folder()` by default.
        base_url: Address of a folder that holds `name/<split>.csv`.
        timeout: Seconds without any byte after which the server counts as silent.
        on_progress: Called with the file, its bytes so far and, if known, its bytes in the end.

    Raises:
        ConfigError: If a file cannot be downloaded, is not the published one, or stands in the way of that.
        OSError: If a file cannot be written.
    """
    wanted = source(name)
    if not base_url.startswith(("http://", "https://")):
        raise ConfigError(f"{base_url}: not the address of a mirror; it must start with http:// or https://")
    target = Path(data_folder() if folder is None else folder) / name
    paths = {split: target / f"{split}.csv" for split in wanted.blobs}
    missing = [split for split, path in paths.items() if not _is_there(path, wanted.blobs[split])]
    for split in missing:
        report = partial(on_progress, paths[split]) if on_progress else _ignore
        url = f"{base_url.rstrip('/')}/{name}/{split}.csv"
        _complete(Download(url, paths[split], timeout, report), wanted.blobs[split])
    _write_readme(target, name, wanted.credit)
    return tuple(Fetched(path, name, split, path.stat().st_size, split in missing) for split, path in paths.items())


def blob_id(path: Path) -> str:
    """The id git gives to the content of a file."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_there(path: Path, blob: str) -> bool:
    """Whether the published file is there; another one may be the user's own, and is not touched."""
    if not path.exists():
        return False
    if not path.is_file() or blob_id(path) != blob:
        raise ConfigError(f"{path}: not the published file; move it away, or choose another `folder`")
    return True


def _complete(download: Download, blob: str) -> None:
    """Download, verify and name a file; after wrong bytes, for which an old part may be to blame, once more."""
    part = download.part
    found = blob_id(part) if part.exists() else None
    for _ in range(2):
        if found != blob:
            download.run()
            found = blob_id(part)
        if found == blob:
            with naming(download.target):
                part.replace(download.target)
            return
        part.unlink()
    raise ConfigError(
        f"{download.url}: not the published file (git blob {found}, expected {blob}); check the address, "
        f"or {download.by_hand}"
    )


def _write_readme(folder: Path, name: str, credit: str) -> None:
    readme = folder / "README.md"
    if readme.exists():
        return
    text = f"# {name}\n\n{credit}.\nThe files are those of commit {COMMIT}, unchanged. Cite both sources.\n"
    with naming(readme):
        part = folder / ".README.md.part"
        part.write_text(text)
        part.replace(readme)


def _ignore(done: int, total: int | None) -> None:
    """Progress that nobody asked for."""
