"""Tables for the terminal and in Markdown."""

from kerasft.tables import build_table, markdown_table, print_table

ROWS = [["[red]", "1,200"], ["a|b\n*c*", "7"]]


def test_the_terminal_shows_cells_as_they_are(capsys):
    print_table(build_table(["label", "count"], ROWS))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "  label   count"
    assert lines[3] == "  [red]   1,200"
    assert lines[4:6] == ["  a|b         7", "  *c*"]


def test_a_column_is_text_or_figures_and_wraps_or_not(capsys):
    rows = [["x" * 100, "y"], ["x", "yy"]]
    print_table(build_table(["a", "b"], rows, text_columns=2))
    out = capsys.readouterr().out
    assert out.count("x") == 101
    assert " y  " in out
    print_table(build_table(["a", "b"], rows, wrap=False))
    assert "…" in capsys.readouterr().out


def test_markdown_is_escaped_and_aligned():
    assert markdown_table(["label", "count"], ROWS).splitlines() == [
        "| label      | count |",
        "| ---------- | ----: |",
        "| \\[red\\]    | 1,200 |",
        "| a\\|b \\*c\\* |     7 |",
    ]
    assert "| ----- |" in markdown_table(["label", "count"], [], numeric=False)
