import json

import pytest

from pctlib.reporting.records import fill, read_history


def write_lines(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_history_keeps_the_last_line_of_a_repeated_epoch(tmp_path):
    rows = [{"epoch": 1, "val_ap": 0.1}, {"epoch": 2, "val_ap": 0.2}, {"epoch": 2, "val_ap": 0.3}]
    history = read_history(write_lines(tmp_path / "history.jsonl", *rows))
    assert history.to_dict("list") == {"epoch": [1, 2], "val_ap": [0.1, 0.3]}


def test_history_names_the_broken_line(tmp_path):
    path = write_lines(tmp_path / "history.jsonl", {"epoch": 1})
    path.write_text(path.read_text() + '{"epoch": 2, "tr')
    with pytest.raises(ValueError, match=r"history\.jsonl, line 2: not valid JSON"):
        read_history(path)
    with pytest.raises(ValueError, match=r"line 1: expected an object with 'epoch'"):
        read_history(write_lines(path, {"step": 1}))
    with pytest.raises(ValueError, match="the history is empty"):
        read_history(write_lines(path))
    with pytest.raises(FileNotFoundError, match="none"):
        read_history(tmp_path / "none")


def test_prose_takes_its_numbers_by_name():
    numbers = {"tokenizer": {"oks_ap": 0.97123, "seen": {"pck": 0.8}}, "people": 3}
    text = fill("AP {tokenizer[oks_ap]:.3f}, PCK {tokenizer[seen][pck]:.0%}, {people} people", numbers)
    assert text == "AP 0.971, PCK 80%, 3 people"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{tokenizer[ap]}", r"no number 'ap' .*tokenizer: oks_ap"),
        ("{other[ap]}", r"no number 'other'"),
        ("{tokenizer[name]:.3f}", "cannot fill the text"),
        ("{0}", "cannot fill the text"),
        ("{tokenizer[oks_ap]", "cannot fill the text"),
    ],
)
def test_a_number_that_does_not_exist_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        fill(text, {"tokenizer": {"oks_ap": 1.0, "name": "x"}, "people": 3})
