"""Queues from which items may vanish."""

from router.core.queues import CLEAN_FROM, Queue


class Item:
    def __init__(self, name: str, stamp: int = 1) -> None:
        self.name = name
        self.stamp = stamp


def queue_of(*items: tuple[int, int, Item]) -> Queue[Item]:
    queue: Queue[Item] = Queue()
    for first, second, item in items:
        queue.push(first, second, item.name, item)
    return queue


def head(queue: Queue[Item]) -> str | None:
    entry = queue.head()
    return entry[4].name if entry is not None else None


def test_smallest_first_then_second_then_name() -> None:
    items = [(2, 0, Item("d")), (1, 5, Item("c")), (1, 5, Item("b")), (1, 4, Item("z"))]
    queue = queue_of(*items)

    order = []
    while (entry := queue.head()) is not None:
        order.append(entry[4].name)
        entry[4].stamp = 0

    assert order == ["z", "b", "c", "d"]


def test_empty_queue_has_no_head() -> None:
    assert Queue[Item]().head() is None


def test_item_that_was_taken_elsewhere_has_left_every_queue() -> None:
    item = Item("a")
    one, two = queue_of((0, 0, item)), queue_of((0, 0, item), (1, 0, Item("b")))

    item.stamp = 0

    assert (head(one), head(two)) == (None, "b")


def test_item_that_came_back_stands_where_it_was_put_last() -> None:
    item, other = Item("a", stamp=1), Item("b")
    queue = queue_of((0, 0, item), (5, 0, other))

    item.stamp = 2
    queue.push(9, 0, "a", item)

    assert head(queue) == "b"
    other.stamp = 0
    assert head(queue) == "a"


def test_items_passed_over_keep_their_place() -> None:
    queue = queue_of((0, 0, Item("a")), (1, 0, Item("b")), (2, 0, Item("c")))

    found = queue.first(lambda item: item.name == "c")
    nobody = queue.first(lambda item: False)

    assert found is not None
    assert found[4].name == "c"
    assert nobody is None
    assert head(queue) == "a"


def test_queue_that_nobody_reads_stays_small() -> None:
    """A hundred thousand items come and vanish, ten of them stay."""
    queue: Queue[Item] = Queue()
    for number in range(100_000):
        item = Item(f"{number:06}")
        queue.push(number, 0, item.name, item)
        item.stamp = 1 if number < 10 else 0

    assert len(queue) <= CLEAN_FROM + 1
    assert head(queue) == "000000"


def test_queue_keeps_all_that_lives_and_at_most_twice_as_much() -> None:
    living = [Item(f"{number:06}") for number in range(5_000)]
    queue = queue_of(*((number, 0, item) for number, item in enumerate(living)))

    for number in range(50_000):
        gone = Item(f"gone {number}")
        queue.push(number, 1, gone.name, gone)
        gone.stamp = 0

    assert 5_000 <= len(queue) <= 2 * 5_000 + 1
    for item in living:
        assert head(queue) == item.name
        item.stamp = 0
