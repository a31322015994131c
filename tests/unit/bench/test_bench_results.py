import json

import pytest

from bench import registry, results


def test_the_ratio_is_the_median_of_the_rounds_own_ratios():
    ours, slow_round = [100.0, 10.0, 120.0], [10.0, 1.0, 40.0]
    (result,) = results.compare("copy", "records/s", {"leadline": ours, "faust": slow_round})
    assert (result.value, result.peer, result.peer_value) == (100.0, "faust", 10.0)
    assert result.ratio == 10.0
    assert result.runs == ((100.0, 10.0), (10.0, 1.0), (120.0, 40.0))


def test_there_is_one_result_for_each_peer_and_one_without_peers():
    found = results.compare("copy", "records/s", {"leadline": [2.0], "quix": [1.0], "faust": [4.0]})
    assert [(result.peer, result.ratio) for result in found] == [("quix", 2.0), ("faust", 0.5)]
    (alone,) = results.compare("copy", "records/s", {"leadline": [3.0, 1.0, 2.0]})
    assert (alone.value, alone.peer, alone.ratio) == (2.0, None, None)


@pytest.mark.parametrize("samples", [{"leadline": [1.0], "faust": [1.0, 2.0]}, {"leadline": [], "faust": []}])
def test_every_contender_takes_part_in_every_round(samples):
    with pytest.raises(ValueError, match="every round"):
        results.compare("copy", "records/s", samples)


def test_a_benchmark_replaces_its_own_entries_and_keeps_the_others(tmp_path):
    path = tmp_path / "bench.json"
    results.keep(path, results.compare("copy", "records/s", {"leadline": [2.0], "quix": [1.0], "faust": [1.0]}))
    results.keep(path, results.compare("walk", "leads/s", {"leadline": [5.0]}))
    results.keep(path, results.compare("copy", "records/s", {"leadline": [9.0], "faust": [3.0]}))
    assert [(entry["name"], entry["peer"], entry["value"]) for entry in json.loads(path.read_text())] == [
        ("copy", "faust", 9.0),
        ("walk", None, 5.0),
    ]
    keys = ["name", "unit", "value", "peer", "peer_value", "ratio", "runs"]
    assert [list(entry) for entry in json.loads(path.read_text())] == [keys, keys]
    assert results.read(path)[0].ratio == 3.0


def test_a_file_that_is_none_of_ours_is_replaced(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text("{")
    assert results.read(path) == []
    results.keep(path, results.compare("copy", "records/s", {"leadline": [2.0]}))
    assert len(results.read(path)) == 1


def test_a_ratio_below_the_required_one_is_told():
    found = results.compare("copy", "records/s", {"leadline": [99.0], "quix": [200.0], "faust": [10.0]})
    assert results.shortfalls(found, {"faust": 9.9}) == []
    assert results.shortfalls(found, {"faust": 10.0}) == ["copy is 9.90 × faust; it has to be at least 10 ×"]


def test_a_required_ratio_needs_its_peer():
    found = results.compare("copy", "records/s", {"leadline": [99.0], "quix": [1.0]})
    assert results.shortfalls(found, {"faust": 10.0}) == ["copy was not measured against faust"]


def test_the_benchmarks_find_themselves():
    known = registry.benchmarks()
    assert {"engine-passthrough", "engine-table", "pipeline"} <= set(known)
    assert {name: dict(known[name].at_least) for name in ("engine-passthrough", "engine-table")} == {
        "engine-passthrough": {"quix-streams": 1.3, "faust": 15.0},
        "engine-table": {"faust": 10.0},
    }
