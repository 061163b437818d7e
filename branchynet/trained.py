"""A trained net with all that it takes to use it: no data set, no training.

trained = networks.load("lenet")
answers = trained.predict(images)           # (N, 1, 28, 28) uint8
trained.class_names[answers.labels[0]]
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing

from branchynet import serialization
from branchynet.errors import NetworkError, SnapshotError, ThresholdError
from branchynet.inference import Answers, compile_net
from branchynet.net import BranchyNet
from branchynet.thresholds import as_exit_rule


def check_record(run, stem) -> None:
    """Refuses the record of a run that did not make the weights beside it: another run's T is not for them.

    Args:
        run: the content of run.json; an older one, which does not say what weights it is of, is taken as it is.
        stem: path of the weights without an ending; its name is one of those in the record: plain, weights, longer.

    Raises:
        SnapshotError: it is of other weights, or the weights are missing or damaged.
    """
    stem = pathlib.Path(stem)
    recorded, found = run.get("weights_sha256", {}).get(stem.name), serialization.read_description(stem)["sha256"]
    if recorded not in (None, found):
        raise SnapshotError(f"{stem}: expected the record of the run that made the weights, got another run's")


@dataclasses.dataclass
class TrainedNet:
    """A trained net, what prepares images for it, and what its answers mean.

    Attributes:
        net: a `BranchyNet`.
        transform: images uint8 -> float32, of `branchynet.datasets.transforms`.
        class_names: one text for each class.
        thresholds: T of each early exit that `predict` uses if it is given none; None if none was chosen.
        provenance: how the weights came about.
        dataset: what data they were trained on, as of `branchynet.datasets.Dataset.identity`; None if not known.
    """

    net: BranchyNet
    transform: typing.Callable
    class_names: tuple
    thresholds: tuple | None = None
    provenance: dict = dataclasses.field(default_factory=dict)
    dataset: dict | None = None
    _compiled: dict = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, layers, stem, thresholds=None) -> TrainedNet:
        """Reads what `branchynet.save_weights` wrote, with its transform.

        Args:
            layers: the network list that the weights are of.
            stem: path of the files without an ending.
            thresholds: T of each early exit, kept for `predict`.

        Raises:
            SnapshotError: the files are missing, damaged, of another network, or do not say how images are prepared.
            NetworkError: it is no network list.
            ThresholdError: the thresholds do not fit the network.
        """
        description, transform = serialization.read_description(stem), serialization.load_transform(stem)
        if transform is None or not description.get("sample_shape"):
            raise SnapshotError(
                f"{stem}: expected weights with their transform and the shape of a sample; these were saved without: "
                "load them with load_weights, or save them anew with save_weights(..., transform=...)"
            )
        net = BranchyNet(layers)
        try:
            net.initialise(description["sample_shape"])
        except NetworkError as error:
            raise SnapshotError(f"{stem} belongs to another network: {error}") from error
        serialization.load_weights(net, stem)
        class_names = tuple(description.get("class_names") or map(str, range(net.n_classes)))
        if len(class_names) != net.n_classes:
            raise SnapshotError(f"{stem}: expected {net.n_classes} class names, got {len(class_names)}")
        if thresholds is not None:
            thresholds = as_exit_rule(thresholds, net.n_exits).values
        return cls(net, transform, class_names, thresholds, description["provenance"], description.get("dataset"))

    def predict(self, images, thresholds=None, engine="auto", measure="entropy") -> Answers:
        """Classifies images, each leaving at the first exit that is sure enough of it.

        Args:
            images: (N, C, H, W) uint8, of the shape of the net's samples, on the host or on the device of the net.
            thresholds: what `branchynet.thresholds.as_exit_rule` takes; by default those the net came with.
            engine: of `branchynet.inference.compile_net`; the compiled net is kept for the next call.
            measure: how sure an exit is, by name.

        Returns:
            `Answers`, in the order of the images.

        Raises:
            DataError: the images are not uint8.
            NetworkError: they are of another shape.
            ThresholdError: no thresholds were given and the net came with none, or they do not fit it.
        """
        thresholds = self.thresholds if thresholds is None else thresholds
        if thresholds is None:
            raise ThresholdError("predict: expected thresholds, got none, and the net came with none")
        return self.compiled(engine, measure).run(images, thresholds)

    def compiled(self, engine="auto", measure="entropy"):
        """The net, compiled with its transform for an engine and a measure by name, where the net is: once, at the
        first call."""
        device = self.net.device.name
        key = (engine, measure, device)
        if key not in self._compiled:
            self._compiled[key] = compile_net(
                self.net, engine=engine, device=device, measure=measure, transform=self.transform
            )
        return self._compiled[key]
