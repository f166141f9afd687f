"""Tables and records of text: what they take of a terminal."""

from cli.display.cells import cut, width_of, wrapped
from cli.display.layout import shrunk
from cli.display.table import Pen, TableColumn, table_lines

PLAIN = Pen()


def test_columns_are_as_wide_as_their_texts_and_lines_end_without_spaces() -> None:
    columns = [TableColumn(["a", "long"], "ONE"), TableColumn(["x", ""], "T")]
    assert list(table_lines(columns, PLAIN)) == ["ONE  T", "a    x", "long"]


def test_a_table_that_is_too_wide_wraps_its_widest_column() -> None:
    columns = [TableColumn(["id-1"], "ID", least=4), TableColumn(["one two three four"], "WORDS", least=5)]
    assert list(table_lines(columns, PLAIN, 14)) == ["ID   WORDS", "id-1 one two", "     three", "     four"]


def test_the_widest_columns_give_way_first_and_none_below_what_it_needs() -> None:
    assert shrunk([10, 4, 20], [1, 1, 1], 24) == [10, 4, 10]
    assert shrunk([10, 4, 20], [10, 4, 15], 24) == [10, 4, 15]


def test_wide_characters_take_two_cells() -> None:
    assert (width_of("日本"), width_of("é")) == (4, 1)
    assert cut("日本語", 5) == "日本"
    assert list(table_lines([TableColumn(["日本"], "A"), TableColumn(["x"], "B")], PLAIN)) == ["A    B", "日本 x"]


def test_texts_break_between_words_and_keep_their_lines_and_indentation() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrapped('{\n  "a": 1\n}', 20) == ["{", '  "a": 1', "}"]
    assert wrapped("  aa bb", 5) == ["  aa", "bb"]
    assert wrapped("", 5) == [""]
    assert all(width_of(line) <= 3 for line in wrapped("日本語 とても長い words", 3))


def test_styles_are_for_terminals_that_draw_and_colors_can_be_refused() -> None:
    columns = [TableColumn(["odd"], "DAMAGE", style="red")]
    assert list(table_lines(columns, Pen(styles=True, colors=True)))[1] == "\x1b[31modd\x1b[0m"
    assert list(table_lines(columns, Pen(styles=True))) == ["\x1b[1mDAMAGE\x1b[0m", "odd"]
    assert list(table_lines(columns, Pen(colors=True))) == ["DAMAGE", "odd"]
