"""Which heads are alike, and which may share keys."""

from reformer.models.configuration.head_groups import head_groups


def test_heads_are_alike_in_kind_and_in_the_windows_they_look_through():
    groups = head_groups(["lsh", "local", "lsh", "local", "full"], 5, [1, 2, 3, 4, 5], [7, 8, 7, 9, 6])
    assert [(group.kind, group.heads) for group in groups] == [
        ("lsh", (0, 2)), ("local", (1,)), ("local", (3,)), ("full", (4,)),
    ]  # fmt: skip
    assert [(groups[1].local_window, groups[0].lsh_window)] == [(2, 7)]
