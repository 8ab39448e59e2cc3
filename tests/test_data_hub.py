"""Data of the hub: one split is downloaded, and what is kept answers for its own commit and configuration alone.

A folder on disk stands for the hub: `datasets` resolves it to a configuration with files a split, as it does for one.
"""

import datasets
import pytest
from datasets import Dataset, load_dataset_builder

from avss.data import at_hand, hub, load_data
from avss.errors import InputError

NAME = "owner/reviews"
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A function that puts texts of (commit, split) on the hub, and a list of what was asked of the hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    asked = []

    def build(name, config=None, revision=None, download_config=None):
        asked.append((name, config, revision))
        folder = tmp_path / "hub" / (config or "default") / (revision or SECOND)
        if not folder.is_dir():
            raise ConnectionError("no network")
        builder = load_dataset_builder(str(folder), cache_dir=str(tmp_path / "builders"))
        builder.hash = folder.name
        return builder

    monkeypatch.setattr(hub, "load_dataset_builder", build)

    def put(commit, split, *texts, config="default"):
        folder = tmp_path / "hub" / config / commit
        folder.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict({"text": texts}).to_parquet(folder / f"{split}.parquet")

    put.asked, put.hub = asked, tmp_path / "hub"
    return put


def test_only_the_split_asked_for_is_loaded(served):
    served(FIRST, "train", "a")
    served(FIRST, "validation", "b")
    (served.hub / "default" / FIRST / "test.parquet").write_bytes(b"a file that nobody can read")
    assert load_data(NAME, "train", revision=FIRST)["text"][:] == ["a"]
    assert load_data(NAME, revision=FIRST)["text"][:] == ["b"]
    assert load_data(NAME, revision=FIRST, purpose="calibration")["text"][:] == ["a"]
    with pytest.raises(InputError, match="cannot be loaded from the hub"):
        load_data(NAME, "test", revision=FIRST)
    with pytest.raises(InputError, match="no split 'dev'; it has train, validation, test"):
        load_data(NAME, "dev", revision=FIRST)


def test_a_pinned_split_at_hand_asks_the_hub_for_nothing(served):
    served(FIRST, "train", "a", "b")
    served(FIRST, "validation", "c")
    assert not at_hand(NAME, None, FIRST, ("train",))
    load_data(NAME, "train", revision=FIRST)
    asked = len(served.asked)
    assert load_data(NAME, "train", revision=FIRST)["text"][:] == ["a", "b"]
    assert len(served.asked) == asked
    assert at_hand(NAME, None, FIRST, ("train", None))
    assert not at_hand(NAME, None, FIRST, ("train", "validation"))


def test_what_is_kept_answers_for_its_commit_and_configuration_alone(served):
    served(FIRST, "train", "first")
    served(SECOND, "train", "second")
    served(FIRST, "train", "other", config="large")
    assert load_data(NAME, "train", revision=FIRST)["text"][:] == ["first"]
    assert not at_hand(NAME, None, SECOND)
    assert not at_hand(NAME, "large", FIRST)
    assert not at_hand(NAME, None, "main"), "a branch may have moved"
    assert not at_hand("owner/other", None, FIRST)
    assert at_hand(NAME)
    assert load_data(NAME, "train", revision=SECOND)["text"][:] == ["second"]
    assert load_data(NAME, "train", revision=FIRST, config="large")["text"][:] == ["other"]
    assert load_data(NAME, "train", revision=FIRST)["text"][:] == ["first"]


def test_without_a_network_the_commit_kept_last_answers_where_none_is_asked_for(served):
    served(SECOND, "train", "second")
    served(SECOND, "validation", "held out")
    load_data(NAME, "validation")
    (served.hub / "default").rename(served.hub / "gone")
    with pytest.warns(UserWarning, match=f"the hub cannot be reached .no network.; {NAME} is read as of commit 2222"):
        assert load_data(NAME)["text"][:] == ["held out"]
    # The split that suits calibration is known and not at hand: another must not take its place.
    for options in ({"purpose": "calibration"}, {"revision": FIRST}, {"revision": "main"}, {"config": "large"}):
        with pytest.raises(InputError, match=r"cannot be loaded from the hub .no network.; check the name"):
            load_data(NAME, **options)


def test_a_download_that_broke_off_is_not_at_hand(served):
    served(FIRST, "train", "a")
    path = served.hub / "default" / FIRST / "train.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(InputError, match="cannot be loaded from the hub"):
        load_data(NAME, "train", revision=FIRST)
    assert not at_hand(NAME, None, FIRST, ("train",))
    path.write_bytes(whole)
    assert load_data(NAME, "train", revision=FIRST)["text"][:] == ["a"]
