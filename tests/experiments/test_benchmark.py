"""The benchmark from its command line to its records, table and figure, on a tiny network."""

import shlex
from itertools import count, product
from types import SimpleNamespace

import benchmark as script
import numpy as np
import pytest
import subjects
from fake_clock import FakeClock, Slow
from synthetic_run import make_run
from tiny import assert_is_drawn, tiny_batch, tiny_net, tiny_samples

from branchynet import datasets, records
from branchynet.bench import paths
from branchynet.inference.engines import engine_classes
from branchynet.machine import threads
from branchynet.machine.devices import get_device
from branchynet.machine.files import locked
from branchynet.report.rows import CLOCKS
from branchynet.thresholds import as_exit_rule

FORMS = ("plain net", "early exit")


@pytest.fixture
def options(tiny_network, tmp_path, monkeypatch):
    """Of a benchmark of the tiny network, to `tmp_path`/out."""
    monkeypatch.setattr(script.peers, "has_torch", lambda: False)
    return ["--networks", "tiny", "--weights", str(tiny_network.folder), "--out", str(tmp_path / "out")]


@pytest.fixture
def run_script(options, tmp_path):
    """(more options) -> the record that the script leaves."""

    def run(*more):
        assert script.main([*options, "--budget", "0.1", *map(str, more)]) == 0
        return records.read_json(tmp_path / "out" / "tiny" / "bench.json")

    return run


def test_a_benchmark_leaves_records_table_and_figure(run_script, tmp_path, capsys):
    result, out = run_script("--batch-sizes", 1, 8), tmp_path / "out" / "tiny"
    assert {path.name for path in out.iterdir()} == {"bench.json", "bench.md", "latency.png"}
    names = {f"{engine}, {form}" for engine in engine_classes() for form in FORMS}
    assert names - set(result["compile"]) == {f"{engine}, {form}" for engine in result["left_out"] for form in FORMS}
    assert {row["batch_size"] for row in result["rows"]} == {1, 8}
    for row in result["rows"]:
        assert row["n_batches"] >= 3 and row["ms_per_sample"]["mean"] > 0
    early = [row for row in result["rows"] if row["name"] == "arrays, early exit"]
    for row in early:
        gain = row["gain_over"]["arrays, plain net"]
        assert gain["low"] <= gain["value"] <= gain["high"] and sum(row["exit_pct"]) == pytest.approx(100)
    assert len(early[0]["ms_per_exit"]) == 3 and "ms_per_exit" not in early[1]
    assert {found["n_samples"] for found in result["agreement"].values()} == {70}
    assert (out / "bench.md").read_text(encoding="utf-8") in capsys.readouterr().out
    assert_is_drawn(out / "latency.png")


def test_a_record_says_how_it_came_about(run_script, tiny_network):
    result = run_script("--batch-sizes", 1, 8, "--thresholds", 0.5, 1.05, "--seed", 3)
    name, *words = shlex.split(result["command"])
    again = script.parse_arguments([*words, "--out", "x"])
    assert (name, result["schema"], result["seed"]) == ("experiments/benchmark.py", 2, 3)
    assert (again.networks, again.batch_sizes, again.thresholds) == (["tiny"], [1, 8], [0.5, 1.05])
    assert (again.budget, again.seed, again.paper_mix, str(again.weights)) == (0.1, 3, False, "tiny")
    assert result["weights_sha256"] == records.read_json(tiny_network.folder / "weights.json")["sha256"]
    assert result["environment"]["cpu"] and result["environment"]["threads"] == 1


def test_samples_leave_at_the_thresholds_given_or_at_the_papers_mix(run_script):
    given = run_script("--batch-sizes", 1, "--thresholds", 0, 0)
    assert given["thresholds"] == [0, 0] and given["exit_pct"] == [0, 0, 100]
    at_the_mix = run_script("--batch-sizes", 1, "--paper-mix")
    assert at_the_mix["exit_pct"][0] == pytest.approx(50, abs=20)
    assert at_the_mix["command"].endswith("--paper-mix")


def test_images_come_in_the_order_of_the_seed(tiny_network):
    subject = script.load_subject("tiny", get_device("cpu"), seed=3)
    order, test = np.random.default_rng(3).permutation(70), tiny_samples(70, 1)
    assert subject.labels.tolist() == test.labels[order].tolist()
    np.testing.assert_array_equal(subject.x, datasets.scale(test.images[order]))


def test_every_contender_does_its_work_once_and_gains_are_over_plain_ones(monkeypatch):
    net, clock, x = tiny_net(), FakeClock(), tiny_batch(70)[0]
    forms = {"arrays, plain net": (script.compile_plain, 3), "arrays, early exit": (script.compile_net, 2)}
    compiled = {name: Slow(make(net, engine="arrays"), clock, ms) for name, (make, ms) in forms.items()}
    rule = as_exit_rule((1.05, 1.05), 3)
    subject = subjects.Subject("tiny", net, x, None, lambda x: x, np.zeros(70, np.int32), rule, "")
    monkeypatch.setattr(paths, "Clock", lambda device: clock)
    monkeypatch.setattr(script.peers, "has_torch", lambda: False)
    with clock:
        rows, unable = script.bench(subject, script.make_contenders(net, compiled, rule), 8, budget_s=1)
    rows = {row["name"]: row for row in rows}
    assert unable == []
    assert list(rows) == ["plain Chainer, plain net", "reference path, early exit", *forms]
    # Convolution, ReLU, convolution, ReLU, then two fully connected layers, ReLU between, and once flattening.
    n_functions = 8 * rows["plain Chainer, plain net"]["ms_per_sample"]["mean"]
    assert n_functions == pytest.approx(8)
    assert 8 * rows["arrays, plain net"]["ms_per_sample"]["mean"] == pytest.approx(3)
    early = rows["arrays, early exit"]
    assert 8 * early["ms_per_sample"]["mean"] == pytest.approx(2) and early["n_batches"] == 8
    gains = {name: gain["value"] for name, gain in early["gain_over"].items()}
    assert gains == {"plain Chainer, plain net": n_functions / 2, "arrays, plain net": 1.5}


def test_both_clocks_are_read_one_sample_at_a_time(run_script):
    measured = run_script("--batch-sizes", 8)["measured"]
    assert measured["n_samples_timed"] >= 70 and sum(measured["timed_exit_pct"]) == pytest.approx(100)
    for clock in CLOCKS:
        assert measured[clock.gain]["value"] > 0
        assert measured[clock.gain]["value"] == pytest.approx(
            measured[clock.plain_ms]["mean"] / measured[clock.branchy_ms]["mean"]
        )


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_samples_come_from_both_memories_and_a_cpu_stands_beside(run_script, tmp_path):
    result = run_script("--device", "gpu", "--batch-sizes", 1, 256)
    assert {(row["samples_in"], row["batch_size"]) for row in result["rows"]} == set(
        product(("host", "host, uint8", "device"), (1, 256))
    )
    names = {f"{engine}, {form}" for engine in ("arrays", "cuda") for form in FORMS}
    assert names < {row["name"] for row in result["rows"]} and result["engine"] == "cuda"
    assert result["environment"]["gpu"]["cuda"]
    assert (tmp_path / "out" / "tiny" / "batches.png").exists()


def test_images_come_again_in_batches_that_are_larger_and_every_answer_is_checked(run_script, monkeypatch):
    checked, check = [], script.agreement.check_answers
    monkeypatch.setattr(script.agreement, "agreement", lambda *arguments, **options: {"n_samples": 0})

    def counting(net, x, rule, labels, exits, **options):
        checked.append(len(labels))
        return check(net, x, rule, labels, exits, **options)

    monkeypatch.setattr(script.agreement, "check_answers", counting)
    monkeypatch.setattr(script.report, "benchmark_tables", lambda result: "")
    result = run_script("--batch-sizes", 100)
    assert result["n_images"] == 70 and {row["n_batches"] for row in result["rows"]} == {3}
    n_early = sum(row["name"].endswith("early exit") for row in result["rows"])
    assert checked == [70, 70, 70, 70, 20] * n_early


def test_what_runs_out_of_memory_is_left_out_and_named(monkeypatch, run_script):
    def too_large(net):
        def answer(x):
            if len(x) > 8:
                raise MemoryError

        return answer

    monkeypatch.setattr(script.paths, "chainer_path", too_large)
    monkeypatch.setattr(
        script.paths, "measure", lambda *arguments: SimpleNamespace(summary=lambda *exits: make_run()["measured"])
    )
    result = run_script("--batch-sizes", 8, 16)
    name = "plain Chainer, plain net"
    assert result["left_out"][f"{name}, batches of 16, host"] == "out of memory"
    assert [row["batch_size"] for row in result["rows"] if row["name"] == name] == [8]


def test_energy_is_that_of_the_card_per_sample_or_said_to_be_not_measured(monkeypatch, run_script, tmp_path):
    result = run_script("--batch-sizes", 8)
    assert result["energy"] == {"not_measured": "NVML: expected a GPU, got the CPU"}
    assert "energy" not in result["rows"][0]
    joules = count(step=2.0)
    monkeypatch.setattr(script, "nvml", lambda device: SimpleNamespace(joules=lambda: next(joules)))
    monkeypatch.setattr(script, "LEAST_S", 0.02)
    result = run_script("--batch-sizes", 8)
    for row in result["rows"]:
        energy = row["energy"]
        assert energy["mj_per_sample"] == pytest.approx(2000 / energy["n_samples"])
        assert energy["watts"] == pytest.approx(2 / energy["seconds"])
    text = (tmp_path / "out" / "tiny" / "bench.md").read_text("utf-8")
    assert "nvmlDeviceGetTotalEnergyConsumption" in text
    assert text.count(" | not measured ") == len(result["rows"]), "counted for less than a second each"


def test_no_engine_is_nothing_measured(options, monkeypatch, capsys):
    monkeypatch.setattr(script, "compile_all", lambda net: ({}, {}, {"arrays": "broken"}))
    assert script.main([*options, "--batch-sizes", "1"]) == 2
    assert "tiny: expected an engine, got none: {'arrays': 'broken'}" in capsys.readouterr().err


def test_a_check_measures_nothing_and_writes_nothing(options, tmp_path):
    assert script.main([*options, "--check"]) == 0
    assert not (tmp_path / "out").exists()
    assert script.main([*options, "--check", "--device", "gpu:99"]) == 2


def test_an_engine_that_answers_otherwise_is_found_out(run_script, monkeypatch):
    other, compile_net = tiny_net(seed=1), script.compile_net
    monkeypatch.setattr(script, "compile_net", lambda net, **options: compile_net(other, **options))
    with pytest.raises(RuntimeError, match="answers differ from those of the reference path"):
        run_script("--batch-sizes", 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--thresholds", "0.5"], "thresholds: expected 2 (the last exit takes all), got 1"),
        (["--thresholds", "0.5", "-1"], "thresholds: expected a score >= 0"),
        (["--device", "gpu:99"], "device gpu:99: "),
        (["--weights", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_anything_is(options, more, message, tmp_path, capsys):
    assert script.main([*options, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark.py: error: ") and message in line and not (tmp_path / "out").exists()


def test_of_two_at_once_in_one_folder_the_second_is_refused(options, tmp_path, capsys):
    with locked(tmp_path / "out", "run"):
        assert script.main(options) == 2
    assert "expected a folder that no other run writes into" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_it_computes_on_one_thread_and_what_was_measured_before_an_interruption_stays(options, monkeypatch, tmp_path):
    bench, n_threads = script.bench, []

    def interrupted(subject, contenders, batch_size, *others):
        n_threads.append(threads.get_threads())
        if batch_size == 8:
            raise KeyboardInterrupt
        return bench(subject, contenders, batch_size, *others)

    monkeypatch.setattr(script, "bench", interrupted)
    with threads.limited(2):
        assert script.main([*options, "--budget", "0.1", "--batch-sizes", "1", "8"]) == 130
    assert n_threads == [1, 1]
    result = records.read_json(tmp_path / "out" / "tiny" / "bench.json")
    assert {row["batch_size"] for row in result["rows"]} == {1}
    assert "| 1 " in (tmp_path / "out" / "tiny" / "bench.md").read_text(encoding="utf-8")
