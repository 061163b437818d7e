"""The trained net of an experiment: from both steps, from step 2 on an earlier plain net, or from an earlier run.

Beside it the plain network trained as long, which the branchy one is compared with.
"""

import dataclasses
import typing

from branchynet import records, serialization
from branchynet.datasets import Dataset, Splits
from branchynet.errors import SnapshotError
from branchynet.experiment.recorded import shown_logits
from branchynet.experiment.request import Request
from branchynet.machine.devices import get_device
from branchynet.machine.workers import Workers
from branchynet.net import BranchyNet
from branchynet.trained import check_record
from branchynet.training import TrainingSettings, train_joint, train_longer, train_plain


@dataclasses.dataclass(frozen=True)
class Steps:
    """What a run trains with."""

    request: Request  # its folder takes snapshots, logs and weights
    dataset: Dataset  # whose class names are saved with the weights
    splits: Splits  # of that data set
    transform: typing.Callable  # images uint8 -> float32
    workers: Workers  # that share the work

    def train(self, net) -> tuple:
        """Trains in two steps (paper, section III-B), or the second one only, on the plain network of an earlier run.

        Args:
            net: an initialised `BranchyNet`; trained in place.

        Returns:
            (dictionary, longer). Dictionary: history, plain_accuracy_pct (test, after step 1), settings, workers, and
            plain_from and tuned_on_test if step 1 was taken. longer: the `BranchyNet` whose plain network was trained
            as long.

        Raises:
            SnapshotError: snapshots or the earlier run's weights are damaged, or belong to another network or data.
        """
        request, taken = self.request, {}
        if request.plain_from is None:
            history = self._run(train_plain, net, request.plain_settings)
            settings = dataclasses.asdict(request.plain_settings)
            provenance = {**self._provenance(), "step": "plain network trained alone"}
        else:
            history, settings, provenance, tuned = self._take_plain_network(net)
            taken = {"plain_from": provenance, "tuned_on_test": tuned}
        # Between the steps the last exit is the plain network: the branches are not trained yet.
        accuracy_pct = self._last_exit_accuracy_pct(net)
        self._save(net, "plain", provenance)
        history = history + self._run(train_joint, net, request.joint_settings)
        self._save(net, "weights", {**self._provenance(), "step": "joint training", "history": history})
        longer, history_of_longer = self._take_longer() or self._train_longer(
            request.out, request.joint_settings, request.preset
        )
        training = {
            "history": history + history_of_longer,
            "plain_accuracy_pct": accuracy_pct,
            "settings": {"plain": settings, "joint": dataclasses.asdict(request.joint_settings)},
            "workers": self.workers.size,
            **taken,
        }
        return training, longer

    def take_earlier(self, net) -> tuple:
        """What `train` returns, from the weights and records that an earlier run left in the folder `request.weights`;
        `net` gets its weights. If that run trained no plain network as long, it is trained now.

        Raises:
            SnapshotError: weights or record are missing, damaged or of another network, or were made for other images.
        """
        folder = self.request.weights
        serialization.load_weights(net, folder / "plain")
        accuracy_pct = self._last_exit_accuracy_pct(net)
        description = serialization.load_weights(net, folder / "weights")
        earlier = self._read_run(folder)
        self.dataset.check_trained_on(folder / "weights", description.get("dataset"))
        for stem in ("plain", "weights"):
            check_record(earlier, folder / stem)
        if (folder / "longer.npz").exists():
            check_record(earlier, folder / "longer")
            longer = self._new_net()
            history_of_longer = serialization.load_weights(longer, folder / "longer")["provenance"]["history"]
        else:
            settings = TrainingSettings(**earlier["training_settings"]["joint"])
            longer, history_of_longer = self._train_longer(folder, settings, earlier["preset"])
        training = {
            "history": description["provenance"]["history"] + history_of_longer,
            "plain_accuracy_pct": accuracy_pct,
            "settings": earlier["training_settings"],
            "workers": earlier["training_workers"],
            "plain_from": earlier["plain_from"],
            # Weights that the earlier run had taken from another one were trained by that one.
            "run": earlier["trained_by"]
            or {
                **{key: earlier[key] for key in ("command", "preset", "seed", "environment")},
                "tuned_on_test": earlier.get("tuned_on_test", []),
            },
        }
        return training, longer

    def _run(self, step, net, settings, **options):
        """The history of one of the two training steps."""
        options = {"augment": self.request.augment, **options, "resume": self.request.resume, "workers": self.workers}
        return step(net, self.splits, self.transform, settings, self.request.out, **options)

    def _take_longer(self):
        """What `_train_longer` returns, from the run that step 1 is taken of; None if there is none, or it was trained
        otherwise."""
        folder, request = self.request.plain_from, self.request
        if folder is None or not (folder / "longer.npz").exists():
            return None
        earlier = self._read_run(folder)
        settings = _without_exits(TrainingSettings(**earlier["training_settings"]["joint"]))
        is_augmented_alike = (earlier["preset"] == "paper") == (request.preset == "paper")
        if settings != _without_exits(request.joint_settings) or not is_augmented_alike:
            return None
        check_record(earlier, folder / "longer")
        net = self._new_net()
        provenance = serialization.load_plain_network(net, folder / "longer")["provenance"]
        self._save(net, "longer", provenance)
        return net, provenance["history"]

    def _train_longer(self, folder, joint_settings, preset):
        """A net whose plain network was trained on from the weights of step 1 in a folder, with the settings of step 2
        and of a preset; and the history."""
        net = self._new_net()
        serialization.load_plain_network(net, folder / "plain")
        settings = _without_exits(joint_settings)
        augment = None if preset == "paper" else self.request.augment
        history = self._run(train_longer, net, settings, augment=augment)
        provenance = {**self._provenance(), "seed": settings.seed, "preset": preset, "history": history}
        self._save(net, "longer", {**provenance, "step": "plain network trained on, as long as step 2"})
        return net, history

    def _new_net(self):
        net = BranchyNet(self.request.network.build(), self.transform(self.splits.train.images[:1]).shape[1:])
        net.to_device(get_device(self.request.device, default_gpu=self.workers.rank_on_this_machine))
        return net

    def _provenance(self):
        return {key: getattr(self.request, key) for key in ("command", "seed", "preset")}

    def _save(self, net, name, provenance):
        if self.workers.is_first:
            about = provenance, self.transform, self.dataset.class_names, self.dataset.identity()
            serialization.save_weights(net, self.request.out / name, *about)

    def _last_exit_accuracy_pct(self, net):
        test = self.splits.test
        logits = shown_logits(net, self.transform(test.images), "plain network, test images")
        return 100 * float((logits[-1].argmax(axis=1) == test.labels).mean())

    def _take_plain_network(self, net):
        """Step 1 from an earlier run's folder: its history, its settings, where its weights come from, and what was
        tuned on test images."""
        folder = self.request.plain_from
        description = serialization.load_plain_network(net, folder / "plain")
        self.dataset.check_trained_on(folder / "plain", description.get("dataset"))
        earlier = self._read_run(folder)
        check_record(earlier, folder / "plain")
        history = [entry for entry in earlier["history"] if entry["phase"] == "plain"]
        tuned = earlier.get("tuned_on_test", [])
        return history, earlier["training_settings"]["plain"], description["provenance"], tuned

    def _read_run(self, folder):
        """The record of an earlier run, which must have seen the same data set, prepared by the same transform."""
        try:
            earlier = records.read_run(folder / "run.json")
        except (OSError, ValueError) as error:
            raise SnapshotError(f"weights: expected the record of the run that made them: {error}") from error
        for name in ("dataset", "transform"):
            found = earlier["arguments"].get(name)
            if found != getattr(self.request, name):
                raise SnapshotError(
                    f"weights: {folder} is of a run with --{name} {found}; give the same, or other weights"
                )
        return earlier


def _without_exits(joint_settings):
    """Settings of step 2 for the plain network alone: a loss of one exit, of all samples, through all weights."""
    return dataclasses.replace(joint_settings, weighting=None, loss_weights=None, keep=1.0, freeze_trunk=False)
