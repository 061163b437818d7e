"""What a run leaves behind: its record, written so that a figure can be traced to the code and machine it came from.

The record of one experiment (`run.json`) is a plain dictionary. Accuracies and shares are percentages (`_pct`), times
milliseconds (`_ms`), thresholds entropies in nats. *Latency* stands for {"mean", "p50", "p90", "p99"}, *gain* for
{"value", "low", "high"}: how many times faster than the baseline, and its bootstrap interval; either may be an empty
dictionary or None where nothing was measured. Exits are in the order of the network, the last exit at the end.

    schema              1
    network, branchy_network, dataset, device ("cpu" or "gpu"), engine, preset, seed
    command             the command line as text, without folders of the machine
    arguments           the parsed command line
    environment         versions, machine and commit: see `environment`
    baselines           list of {name, training, engine, accuracy_pct (test), latency_ms: latency}; gains end to end
                        are measured against the first one
    exits               list, one entry an exit: {exit (from 1), accuracy_pct: {validation, test} if all samples left
                        there, latency_ms: latency end to end, paper_clock_ms: latency, count: samples timed}
    points              list, one entry for each setting of T on each split: {thresholds, split, accuracy_pct, exit_pct,
                        end_to_end_ms, paper_clock_ms, end_to_end_gain, paper_clock_gain, on_front}; the times are
                        computed from the measured latency of each exit
    knee                index into points: the chosen setting, on the split that it was chosen on
    choice              {split, rule, thresholds, paper_way: {thresholds, accuracy_pct, exit_pct}}; `paper_way` is what
                        choosing on the test split, as the paper did, would have given; and, in newer records, goal
                        (text, or None where T was given) and details (of the goal: `branchynet.choosers`)
    measured            the chosen setting, timed for real on the test split: {thresholds, split, accuracy_pct,
                        exit_pct, n_samples_timed, end_to_end_ms, paper_clock_ms, baseline_ms (the plain network on
                        the same engine), chainer_ms (in plain Chainer): latency each, end_to_end_gain (over
                        baseline_ms), gain_over_chainer, paper_clock_gain (over chainer_ms): gain each}
    history             list, one entry for each epoch: {phase ("main" or "joint"), epoch, iteration, elapsed_s, exits:
                        list of {exit, loss, accuracy, validation_loss, validation_accuracy}, accuracies in [0, 1]};
                        step 1, the main network alone, has one entry in `exits`, the last exit

    variant             which of several networks of that name, as text (the placement of AlexNet's branches); or None
    training_settings   {main, joint}: the settings of the two steps; training_processes: how many shared them
    trained_by          {command, preset, seed, environment} of the run that the weights come from, or None: this one
    baseline_from       {command, seed, preset, step} of the earlier run whose main network step 2 began with, or None

A record may hold more than that. `end_to_end` is the time that a caller waits; `paper_clock` counts the trunk only, as
the timer in the authors' code does (`branchynet.benchmark`).
"""

from branchynet.records.provenance import environment
from branchynet.records.reference import Reference, load_reference, select
from branchynet.records.schema import SCHEMA, check_run
from branchynet.records.writing import prepare_output, read_json, write_csv, write_json, write_sweep, write_text

__all__ = [
    "SCHEMA",
    "Reference",
    "check_run",
    "environment",
    "load_reference",
    "prepare_output",
    "read_json",
    "select",
    "write_csv",
    "write_json",
    "write_sweep",
    "write_text",
]
