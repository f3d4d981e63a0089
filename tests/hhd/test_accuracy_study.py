"""The accuracy study: its split, rows, choices and statistics; its page is what its JSON makes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.accuracy import freeze, report, rows
from benchmarks.accuracy.__main__ import work_off
from benchmarks.accuracy.jobs import Job, jobs_of
from benchmarks.accuracy.pictures import by_picture, distances
from benchmarks.accuracy.place import Place, plain, read_result
from benchmarks.accuracy.rows import STAGES, Row, rows_of
from benchmarks.accuracy.split import make_split
from benchmarks.accuracy.statistics import contrast
from hhd.data.read import read_annotations
from hhd.evaluation.pck import pck

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "accuracy" / "results"


def annotations(count):
    def one(number):
        swapped = number % 10 == 0
        return {
            "id": number, "image_id": number, "bbox": [0, 0, 9, 9], "num_keypoints": 1,
            "keypoints": [1, 1, 2], "ref_agree": 0.1 if swapped else 0.9,
            "ref_agree_swapped": 0.9 if swapped else 0.1,
        }  # fmt: skip

    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(count)]
    return {"images": images, "annotations": [one(n) for n in range(count)], "categories": []}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "data" / "lspet" / "annotations"
    folder.mkdir(parents=True)
    (folder / "lspet_train.json").write_text(json.dumps(annotations(1000)))
    return Place(tmp_path / "data", tmp_path / "work", tmp_path / "results")


def test_the_split_holds_dev_out_and_hides_labels(place):
    make_split(place.data, place.work / "annotations")
    files = {path.stem: json.loads(path.read_text())["annotations"]
             for path in (place.work / "annotations").iterdir()}  # fmt: skip
    ids = {name: {a["id"] for a in found} for name, found in files.items()}
    assert 100 < len(ids["dev"]) < 180
    # Swapped persons are evaluated on, and never trained on.
    assert any(number % 10 == 0 for number in ids["dev"])
    assert not any(number % 10 == 0 for number in ids["train"])
    assert not ids["dev"] & ids["train"]
    assert ids["labelled_10"] < ids["labelled_30"] < ids["train"]
    for share in ("10", "30"):
        assert ids[f"labelled_{share}"] | ids[f"hidden_{share}"] == ids["train"]
        assert all(not any(a["keypoints"]) for a in files[f"hidden_{share}"])
        assert not ids[f"labelled_{share}"] & ids[f"hidden_{share}"]
    before = (place.work / "annotations" / "dev.json").stat().st_mtime_ns
    make_split(place.data, place.work / "annotations")
    assert (place.work / "annotations" / "dev.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("stage", STAGES)
def test_every_row_is_a_recipe_with_a_name_of_its_own(place, stage):
    found = rows_of(stage)
    assert len({plain(row.name) for row in found}) == len(found)
    for row in found:
        recipe = place.recipe(row, row.seeds[-1], "cpu")
        assert recipe.seed == row.seeds[-1]
        # val is for the final rows alone.
        assert (row.test == "val") == (stage in ("confirm", "worth"))


def test_rows_of_one_seed_differ_in_what_they_say_alone(place):
    base = place.recipe(Row("base"), 0, "cpu").as_dict()
    for row in rows_of("screen"):
        changed = {k for k, v in place.recipe(row, 0, "cpu").as_dict().items() if v != base[k]}
        filled = {"window", "hhd_weight"}
        assert changed - {"output"} - filled <= set(row.changes)


def test_a_result_is_not_made_twice_and_needs_are_waited_for(place):
    jobs = jobs_of(["worth"], place, "cpu", [])
    names = [job.name for job in jobs]
    assert "targets.itself_10.1" in names
    assert names.index("targets.itself_10.1") < names.index("10-labels-itself.1")
    assert not any(job.ready() for job in jobs)
    place.results.mkdir()
    place.result(Row("b, heavy's maps"), 1).write_text("{}")
    assert "b-heavy-s-maps.1" not in [job.name for job in jobs_of(["worth"], place, "cpu", [])]


def test_teachers_are_asked_before_they_teach(place):
    jobs = {job.name: job for job in jobs_of(list(STAGES), place, "cpu", ["--side", "2"])}
    both = jobs["targets.both"]
    card, ours = place.heavy(), place.model("teacher, all labels", 0)
    assert both.needs == (card, ours)
    assert both.words[3:6] == ("teach", str(card), str(ours))
    assert both.words[both.words.index("--upright") + 1] == "own"
    ours_alone = jobs["targets.ours_10"].words
    assert ours_alone[ours_alone.index("--upright") + 1] == "no"
    assert jobs["b-both.1"].needs[-1] == jobs["targets.both"].done
    assert jobs["best-128.0"].needs[-1] == jobs["targets.heavy"].done
    # Nobody is asked for rows that are there.
    place.results.mkdir()
    for row in rows_of("best"):
        place.result(row, 0).write_text("{}")
    assert jobs_of(["best"], place, "cpu", []) == []


def test_the_queue_waits_runs_and_counts_failures(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    jobs = [
        Job("second", ("-c", write, str(second)), (first,), second),
        Job("first", ("-c", write, str(first)), (), first),
        Job("wrong", ("-c", "raise SystemExit(3)"), (), tmp_path / "never"),
    ]
    assert work_off(jobs, 2, 60, tmp_path / "logs") == 1
    assert first.exists()
    assert second.exists()
    assert "wrong FAILED" in capsys.readouterr().out
    endless = [Job("endless", ("-c", "import time; time.sleep(60)"), (), tmp_path / "never")]
    assert work_off(endless, 1, 0.5, tmp_path / "logs") == 0
    assert "endless stopped" in capsys.readouterr().out


def test_counts_by_picture():
    values = np.array([[0.1, 0.2, 0.6], [np.nan, 0.4, np.inf]])
    found = by_picture(values)
    assert (found["at_02"], found["at_05"], found["judged"]) == ([2, 0], [2, 1], [3, 2])
    assert found["PCK@0.2"] == 40.0
    # A distance d leaves 1 - d / .5 of the area, by trapezoids of .01.
    assert found["area"] == pytest.approx([0.81 + 0.61, 0.21], abs=1e-3)


def result(at_02, judged=None):
    return {"at_02": list(at_02), "judged": [10] * len(at_02) if judged is None else judged}


def test_the_bootstrap_covers_pictures_and_seeds():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 11, 300)
    # Paired: what makes a picture hard is hard for both.
    better = [result(np.minimum(pictures + (rng.random(300) < 0.3), 10)) for _ in range(3)]
    worse = [result(pictures) for _ in range(3)]
    found = contrast(better, worse)
    assert found.resolved
    assert 1.5 < found.low < found.difference < found.high < 4
    assert not contrast(worse, [result(pictures)] * 3).resolved
    # Seeds that differ widen it, though each of them has many pictures.
    apart = [result(np.clip(pictures + shift, 0, 10)) for shift in (-2, 0, 3)]
    wide = contrast(apart, worse)
    assert wide.high - wide.low > 5 * (found.high - found.low)
    with pytest.raises(ValueError, match="not evaluated on the same pictures"):
        contrast(worse, [result(pictures, [9] * 300)])


def test_the_choice_is_the_highest_auc_on_dev(place, tmp_path, monkeypatch):
    file = tmp_path / "frozen.yaml"
    file.write_text(yaml.safe_dump({"shared": {"epochs": 2}, "best": {"epochs": 3}}))
    monkeypatch.setattr(freeze, "FROZEN", file)
    place.results.mkdir()
    screened = [*rows.screening(), *rows.rates(), *rows.teacher_screening()]
    wanted = {"kl, lr 4e-3", "heatmap", "10 % labels, screened, gate .7"}
    for row in screened:
        # Coordinates are compared, never chosen: the maps are what the method teaches.
        high = 50 + 9 * (row.name in wanted) + 20 * ("coordinates" in row.name)
        content = {"decodings": {"as trained": {"AUC": high if "x" not in row.name else 1}}}
        place.result(row, 0).write_text(json.dumps(content))
    freeze.freeze(place)
    found = yaml.safe_load(file.read_text())
    assert found["shared"] == {"epochs": 2, "lr": 0.004}
    assert found["heatmap"] == {"lr": 0.002}
    assert found["teacher"] == {"teacher_gate": 0.7, "teacher_sigma": 1.5}


def test_the_page_is_what_the_results_make():
    found = report.read_results(RESULTS)
    text = "\n".join(report._page(found, "results")) + "\n"
    assert (ROOT / "docs" / "results.md").read_text() == text
    assert not re.search(r"\{\w*\}", text)


def test_every_result_is_of_a_row_that_is_there_or_deleted():
    there = {row.name for stage in STAGES for row in rows_of(stage)} | {"shipped"}
    deleted = {gone.row: gone for gone in rows.DELETED}
    assert not there & set(deleted)
    assert {gone.beside for gone in deleted.values()} <= there
    found = report.read_results(RESULTS)
    assert set(found) <= there | set(deleted)
    for name in set(found) & set(deleted):
        for result in found[name]:
            assert result["environment"]["commit"].startswith(deleted[name].commit)


def test_every_result_has_its_environment_and_pictures():
    for path in RESULTS.glob("*.json"):
        found = read_result(path)
        assert {"torch", "commit", "date"} <= set(found["environment"])
        persons = {"dev": 467, "val": 400}[found["test"]]
        for way in found["decodings"].values():
            assert len(way["at_02"]) == len(way["judged"]) == persons
            share = 100 * sum(way["at_02"]) / sum(way["judged"])
            assert way["PCK@0.2"] == pytest.approx(share, abs=1e-3)
        text = path.read_text()
        assert "/tmp" not in text
        assert "/work" not in text


def test_a_row_is_trained_and_counted(place, tmp_path, people, tiny):
    """The whole way of a run, on a drawn data set of a few pictures."""
    from benchmarks.accuracy.run import perform
    from hhd.train.ownership import Stop

    changes = {k: v for k, v in tiny.items() if k != "output"}
    changes |= {"pretrained": False, "cache": None, "epochs": 1, "model": "small_student"}
    row = Row("tiny", changes)
    perform(place, row, 0, "cpu", Stop())
    found = read_result(place.result(row, 0))
    assert (found["row"], found["seed"]) == ("tiny", 0)
    way = found["decodings"]["whole, beta x5"]
    assert sum(way["judged"]) > 0
    again = replace(row, name="again")
    perform(place, again, 0, "cpu", Stop())
    assert read_result(place.result(again, 0))["decodings"] == found["decodings"]


def test_distances_are_those_of_the_evaluation(people, lsp14):
    """Joints without a label are not judged; a prediction that is no place is a miss."""
    reading = read_annotations(people / "annotations.json", people / "images", lsp14)
    persons = reading.require()
    rng = np.random.default_rng(0)
    truth = np.stack([person.keypoints for person in persons])
    hidden = rng.random(truth.shape[:2]) < 0.3
    persons = [
        replace(person, keypoints=np.where(gone[:, None], 0.0, person.keypoints))
        for person, gone in zip(persons, hidden, strict=True)
    ]
    coords = truth[..., :2] + rng.normal(0, 6, truth[..., :2].shape)
    coords[0, 0] = np.nan
    found = by_picture(distances(coords, persons, lsp14))
    expected = pck(coords, persons, lsp14)
    assert found["PCK@0.2"] == pytest.approx(100 * expected.at_02, abs=1e-3)
    assert found["PCK@0.5"] == pytest.approx(100 * expected.at_05, abs=1e-3)
    assert found["AUC"] == pytest.approx(100 * expected.auc, abs=1e-2)
    assert sum(found["judged"]) == expected.joints
