import random

import numpy as np
import pytest

from sciml.data.sequences import open_listops
from sciml.data.sequences.listops import OPERATORS, TOKENS, Grammar, make_block
from sciml.errors import ConfigError, DataError, LayoutError

SMALL = Grammar(min_length=10, max_length=80, max_depth=5, max_args=6)


def expressions(block):
    ends = np.cumsum(block.lengths[:, 0])
    for tokens, target in zip(np.split(block.values, ends[:-1]), block.target, strict=True):
        yield [TOKENS[token] for token in tokens], int(target)


def parse(words):
    """The tree of an expression: a digit, or (operator, children)."""
    word = words.pop(0)
    if word not in OPERATORS:
        return int(word)
    children = []
    while words[0] != "]":
        children.append(parse(words))
    words.pop(0)
    return word, children


def value(tree):
    if isinstance(tree, int):
        return tree
    operator, children = tree[0], [value(child) for child in tree[1]]
    if operator == "[MED":
        return int(np.median(children))
    return sum(children) % 10 if operator == "[SM" else {"[MIN": min, "[MAX": max}[operator](children)


def depth(tree):
    return 1 if isinstance(tree, int) else 1 + max(map(depth, tree[1]))


def arguments(tree):
    return [] if isinstance(tree, int) else [len(tree[1]), *(n for child in tree[1] for n in arguments(child))]


def drawn(grammar, source, level=1):
    """A tree drawn node by node, as the grammar says."""
    if level == grammar.max_depth or source.random() > 0.25:
        return source.randrange(10)
    count = source.randint(2, grammar.max_args)
    return source.choice(OPERATORS), [drawn(grammar, source, level + 1) for _ in range(count)]


def length(tree):
    return 1 if isinstance(tree, int) else 2 + sum(map(length, tree[1]))


@pytest.mark.parametrize("grammar", [SMALL, Grammar()], ids=["small", "published"])
def test_every_expression_is_whole_and_its_class_is_its_value(grammar):
    block = make_block(grammar, range(64), seed=3)
    assert len(block.target) == 64
    for words, target in expressions(block):
        assert grammar.min_length < len(words) < grammar.max_length
        tree = parse(words)
        assert not words, "something is left after the expression"
        assert value(tree) == target
        assert depth(tree) <= grammar.max_depth
        assert min(arguments(tree)) >= 2
        assert max(arguments(tree)) <= grammar.max_args


def test_lengths_values_and_arguments_are_distributed_as_the_grammar_draws_them():
    count, source = 4000, random.Random(0)
    trees = []
    while len(trees) < count:
        tree = drawn(SMALL, source)
        if SMALL.min_length < length(tree) < SMALL.max_length:
            trees.append(tree)
    ours = [parse(words) for words, _ in expressions(make_block(SMALL, range(count), seed=1))]
    for measure in (length, value, depth, lambda tree: float(np.mean(arguments(tree))), lambda tree: tree[0] == "[SM"):
        a, b = (np.array([measure(tree) for tree in each], float) for each in (trees, ours))
        # Four and a half standard errors of the difference: one in 1e5 by chance.
        assert abs(a.mean() - b.mean()) < 4.5 * np.sqrt((a.var() + b.var()) / count)
    frequencies = [np.bincount([value(tree) for tree in each], minlength=10) for each in (trees, ours)]
    # Chi-squared with 9 degrees of freedom exceeds 40 once in 1e5.
    assert ((frequencies[0] - frequencies[1]) ** 2 / sum(frequencies)).sum() < 40


def test_a_block_depends_on_the_seed_and_its_place_alone():
    first, again, other, next_block = (
        make_block(SMALL, range(start, start + 32), seed=seed) for start, seed in ((0, 0), (0, 0), (0, 1), (256, 0))
    )
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values[:100], other.values[:100])
    assert not np.array_equal(first.values[:100], next_block.values[:100])


def test_the_parts_are_generated_once_and_share_no_expression(tmp_path):
    settings = {"train": 300, "validation": 20, "test": 30, **vars(SMALL)}
    task = open_listops(folder=tmp_path, **settings)
    assert [len(part) for part in (task.train, task.validation, task.test)] == [300, 20, 30]
    assert (task.kind, task.encoder, task.vocabulary, task.outputs) == ("classification", "tokens", 16, 10)
    seen = [{row.tobytes() for row in part.padded(np.arange(len(part)))} for part in (task.train, task.test)]
    assert len(seen[0]) > 295, "an expression of 10 tokens may come twice"
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.bin")}
    open_listops(folder=tmp_path, **settings)
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.bin")}


def test_lengths_that_cannot_be_reached_are_named():
    with pytest.raises(ConfigError, match="no expression of depth 3 with at most 10 arguments has more than 500"):
        Grammar(max_depth=3)


def write_published(folder):
    folder.mkdir()
    lines = {
        "train": ["( ( ( [MAX 3 ) 4 ) ] )\t4", "( ( ( [MED 1 ) ( ( ( [SM 7 ) 8 ) ] ) ) ] )\t3"],
        "val": ["( ( ( [MIN 3 ) 4 ) ] )\t3"],
        "test": ["5\t5"],
    }
    for part, rows in lines.items():
        (folder / f"basic_{part}.tsv").write_bytes("\r\n".join(["Source\tTarget", *rows, ""]).encode())
    return folder


def test_published_files_give_the_same_tokens_without_the_brackets_of_the_tree(tmp_path):
    task = open_listops(path=write_published(tmp_path / "listops-1000"), folder=tmp_path)
    words = [[TOKENS[t] for t in row if t] for row in task.train.padded(np.arange(2))]
    assert words == [["[MAX", "3", "4", "]"], ["[MED", "1", "[SM", "7", "8", "]", "]"]]
    assert task.train.target.tolist() == [4, 3]
    assert (task.validation.target.tolist(), task.test.target.tolist()) == ([3], [5])
    assert [value(parse(row)) for row in words] == [4, 3]


def test_a_damaged_or_missing_published_file_is_named(tmp_path):
    with pytest.raises(LayoutError, match=r"basic_train\.tsv is missing or empty.*lra_release\.gz.*data\.path=FOLDER"):
        open_listops(path=tmp_path, folder=tmp_path)
    folder = write_published(tmp_path / "listops-1000")
    (folder / "basic_val.tsv").write_text("Source\tTarget\nhello\t3\n")
    with pytest.raises(DataError, match=r"basic_val\.tsv, example 0: an expression of ListOps"):
        open_listops(path=folder, folder=tmp_path)
