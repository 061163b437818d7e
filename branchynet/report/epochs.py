"""What every exit learned in each epoch of a run's two training steps."""


def training_rows(run: dict) -> list:
    """Loss and accuracy of every exit, epoch and split, in the order of the epochs.

    Returns:
        list of {epoch: counted on through step 2, phase, exit: 1 for the first, split: "training" or "validation",
        line: what one line of a figure joins, loss: nats, accuracy: in %}
    """
    rows, n_exits = [], len(run["exits"])
    history = [entry for entry in run["history"] if entry["phase"] in ("plain", "joint")]
    for epoch, entry in enumerate(history, start=1):
        # Step 1 trains the last exit alone.
        for number, values in enumerate(entry["exits"], start=n_exits - len(entry["exits"]) + 1):
            for split, prefix in (("training", ""), ("validation", "validation_")):
                line = f"{entry['phase']} {number} {split}"
                row = {"epoch": epoch, "phase": entry["phase"], "exit": number, "split": split, "line": line}
                rows.append({**row, "loss": values[f"{prefix}loss"], "accuracy": 100 * values[f"{prefix}accuracy"]})
    return rows
