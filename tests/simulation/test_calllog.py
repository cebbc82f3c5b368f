import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core.errors import Problem, RouterError
from router.simulation.calllog import (
    CallLog,
    CallLogError,
    Columns,
    LoggedCall,
    LogMapping,
    Outcomes,
    load_mapping,
    read_calls,
)

TIMES_OF_DAY = LogMapping(
    name="rome",
    country="IT",
    time_zone="Europe/Rome",
    date="day",
    time_format="%H:%M:%S",
    tolerance_s=2,
    columns=Columns(
        call_id="id",
        client_id="client",
        kind="kind",
        priority="priority",
        agent_id="agent",
        outcome="outcome",
        arrived=("queued", "announced"),
        answered="answered",
        ended="ended",
    ),
    outcomes=Outcomes(answered=("ok",), abandoned=("lost",), ignore=("test",), abandoned_needs="queued"),
    head_start_s={"gold": 60},
)
HEADER = "id,client,kind,priority,day,announced,queued,answered,ended,outcome,agent"


@dataclass
class Writer:
    folder: Path

    def __call__(self, *rows: str, header: str = HEADER) -> Path:
        path = self.folder / "log.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return path


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def ms(iso: str) -> int:
    return round(1_000 * datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp())


def only_call(log: CallLog) -> LoggedCall:
    assert log.report.refusals == ()
    assert len(log.calls) == 1
    return log.calls[0]


def only_refusal(log: CallLog) -> str:
    assert log.calls == ()
    assert log.report.rows_refused == 1
    return str(log.report.refusals[0])


# What a row becomes


def test_answered_call(write: Writer) -> None:
    path = write("c1,k1,gas,gold,2026-03-02,08:59:50,09:00:00,09:00:12,09:03:12,ok,ana")

    assert only_call(read_calls(path, TIMES_OF_DAY)) == LoggedCall(
        call_id="c1",  # type: ignore[arg-type]
        client_id="k1",  # type: ignore[arg-type]
        kind="gas",
        arrived_ms=ms("2026-03-02 08:00:00"),
        wait_ms=12_000,
        answered=True,
        service_ms=180_000,
        agent_id="ana",  # type: ignore[arg-type]
        head_start_s=60,
    )


def test_call_that_did_not_queue_arrives_at_the_next_candidate(write: Writer) -> None:
    path = write("c1,,gas,,2026-03-02,08:59:50,,08:59:51,09:03:12,ok,ana")

    call = only_call(read_calls(path, TIMES_OF_DAY))

    assert call.arrived_ms == ms("2026-03-02 07:59:50")
    assert call.wait_ms == 1_000
    assert call.client_id is None


def test_abandoned_call_waits_until_its_end(write: Writer) -> None:
    path = write("c1,k1,gas,gold,2026-03-02,08:59:50,09:00:00,,09:00:45,lost,ana")

    call = only_call(read_calls(path, TIMES_OF_DAY))

    assert (call.answered, call.wait_ms, call.service_ms, call.agent_id) == (False, 45_000, 0, None)


def test_ignored_rows_are_counted_by_reason(write: Writer) -> None:
    path = write(
        "c1,,gas,,2026-03-02,09:00:00,,,,test,",
        "c2,,gas,,2026-03-02,09:00:00,,,09:00:05,lost,",
        "c3,,gas,,2026-03-02,09:00:00,,,09:00:05,lost,",
    )

    report = read_calls(path, TIMES_OF_DAY).report

    assert report.rows_ignored == {"outcome lost without queued": 2, "outcome test": 1}
    assert (report.rows_read, report.rows_used, report.rows_refused) == (3, 0, 0)


def test_calls_come_by_arrival(write: Writer) -> None:
    path = write(
        "b,,gas,,2026-03-02,09:00:00,,09:00:01,09:00:05,ok,ana",
        "c,,gas,,2026-03-02,08:00:00,,08:00:01,08:00:05,ok,ana",
        "a,,gas,,2026-03-02,09:00:00,,09:00:01,09:00:05,ok,ana",
    )

    assert [call.call_id for call in read_calls(path, TIMES_OF_DAY).calls] == ["c", "a", "b"]


def test_declared_durations_win_over_times_and_the_contradiction_is_noted(write: Writer) -> None:
    columns = msgspec.structs.replace(TIMES_OF_DAY.columns, wait_s="wait", service_s="talk")
    mapping = msgspec.structs.replace(TIMES_OF_DAY, columns=columns)
    path = write("c1,,gas,,2026-03-02,09:00:00,,09:00:30,09:01:00,ok,ana,29,1:30", header=HEADER + ",wait,talk")

    log = read_calls(path, mapping)

    assert (only_call(log).wait_ms, only_call(log).service_ms) == (29_000, 90_000)
    assert log.report.rows_noted == {"service by its own column, which its times contradict": 1}


# Time


def test_midnight_between_arrival_and_answer(write: Writer) -> None:
    path = write("c1,,gas,,2026-03-02,23:59:40,,00:00:10,00:02:10,ok,ana")

    call = only_call(read_calls(path, TIMES_OF_DAY))

    assert call.arrived_ms == ms("2026-03-02 22:59:40")
    assert (call.wait_ms, call.service_ms) == (30_000, 120_000)


def test_midnight_before_arrival_when_the_day_belongs_to_an_earlier_time(write: Writer) -> None:
    mapping = msgspec.structs.replace(TIMES_OF_DAY, date_of="announced")
    path = write("c1,,gas,,2026-03-02,23:59:55,00:00:05,00:00:10,00:02:10,ok,ana")

    assert only_call(read_calls(path, mapping)).arrived_ms == ms("2026-03-02 23:00:05")


def test_hour_that_occurs_twice_is_the_first_unless_order_tells_otherwise(write: Writer) -> None:
    """On 25 October 2026 Italian clocks go back from 03:00 to 02:00."""
    path = write(
        "c1,,gas,,2026-10-25,02:30:00,,02:31:00,02:40:00,ok,ana",
        "c2,,gas,,2026-10-25,02:59:00,,02:01:00,02:05:00,ok,ana",
    )

    first, second = read_calls(path, TIMES_OF_DAY).calls

    assert (first.arrived_ms, first.wait_ms) == (ms("2026-10-25 00:30:00"), 60_000)
    assert (second.arrived_ms, second.wait_ms, second.service_ms) == (ms("2026-10-25 00:59:00"), 120_000, 240_000)


def test_hour_that_never_was_is_read_on_the_old_clock(write: Writer) -> None:
    """On 29 March 2026 Italian clocks go forward from 02:00 to 03:00."""
    path = write("c1,,gas,,2026-03-29,02:30:00,,02:30:30,02:40:00,ok,ana")

    assert only_call(read_calls(path, TIMES_OF_DAY)).arrived_ms == ms("2026-03-29 01:30:00")


@pytest.mark.parametrize(
    ("time_format", "arrived", "answered", "ended"),
    [
        ("epoch_s", "1772438400", "1772438403.5", "1772438463.5"),
        ("epoch_ms", "1772438400000", "1772438403500", "1772438463500"),
        ("iso", "2026-03-02T08:00:00Z", "2026-03-02T09:00:03.500+01:00", "2026-03-02T09:01:03.5+01:00"),
        ("iso", "2026-03-02 09:00:00", "2026-03-02 09:00:03.500", "2026-03-02 09:01:03.5"),
        ("%d/%m/%Y %H.%M.%S.%f", "02/03/2026 09.00.00.0", "02/03/2026 09.00.03.5", "02/03/2026 09.01.03.5"),
    ],
)
def test_full_timestamps(write: Writer, time_format: str, arrived: str, answered: str, ended: str) -> None:
    columns = Columns(call_id="id", outcome="outcome", arrived=("in",), answered="up", ended="down")
    mapping = LogMapping(
        name="rome", country="IT", time_zone="Europe/Rome", time_format=time_format, columns=columns,
        outcomes=Outcomes(answered=("ok",)),
    )  # fmt: skip
    path = write(f"c1,ok,{arrived},{answered},{ended}", header="id,outcome,in,up,down")

    call = only_call(read_calls(path, mapping))

    assert (call.arrived_ms, call.wait_ms, call.service_ms) == (ms("2026-03-02 08:00:00"), 3_500, 60_000)
    assert call.kind == "calls"


# What is refused


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("c1,,gas,,2026-03-02,09:00:10,,09:00:00,09:05:00,ok,ana", "row 2, answered: ends 10 s before it begins"),
        ("c1,,gas,,2026-03-02,09:00:00,,09:00:10,09:00:05,ok,ana", "row 2, ended: ends 5 s before it begins"),
        ("c1,,gas,,2026-03-02,,,09:00:10,09:00:05,ok,ana", "row 2, announced: no time of arrival"),
        ("c1,,gas,,2026-03-32,09:00:00,,09:00:10,09:05:00,ok,ana", "row 2, day: '2026-03-32' is not a day"),
        ("c1,,gas,,2026-03-02,nine,,09:00:10,09:05:00,ok,ana", "row 2, announced: 'nine' is not a time"),
        ("c1,,gas,,2026-03-02,09:00:00,,09:00:10,09:05:00,OK,ana", "row 2, outcome: 'OK' is not among the outcomes"),
        ("c1,,gas,,2026-03-02,09:00:00,,09:00:10,09:05:00,ok,ana#2", "row 2, agent: 'ana#2' is not an id"),
        ("c1,,gas,,2026-03-02,09:00:00,,,09:05:00,ok,ana", "row 2, answered: does not say how long the caller waited"),
        (",,gas,,2026-03-02,09:00:00,,09:00:10,09:05:00,ok,ana", "row 2, id: a call needs an id"),
        ("c1,,,,2026-03-02,09:00:00,,09:00:10,09:05:00,ok,ana", "row 2, kind: no kind of call"),
        ("c1,,gas,,1969-03-02,09:00:00,,09:00:10,09:05:00,ok,ana", "row 2, announced: arrived before 1970"),
        ("c1,gas,2026-03-02", "row 2: has 3 columns, the header has 11"),
    ],
)
def test_bad_row_is_refused_with_its_number_and_reason(write: Writer, row: str, says: str) -> None:
    assert only_refusal(read_calls(write(row), TIMES_OF_DAY)).startswith(says)


def test_bad_row_does_not_cost_the_others(write: Writer) -> None:
    good = "c{},,gas,,2026-03-02,09:00:00,,09:00:10,09:05:00,ok,ana"
    path = write(good.format(1), "nonsense", good.format(2), good.format(1))

    log = read_calls(path, TIMES_OF_DAY)

    assert [call.call_id for call in log.calls] == ["c1", "c2"]
    assert log.report.lines() == (
        "4 rows read, 2 used, 0 ignored, 2 refused",
        "refused, row 3: has 1 columns, the header has 11",
        "refused, row 5, id: c1 has come before",
    )


def test_answer_slightly_before_arrival_counts_as_no_wait(write: Writer) -> None:
    """The agent's phone begins to ring before the queue lets go of the call."""
    log = read_calls(write("c1,,gas,,2026-03-02,09:00:02,,09:00:00,09:05:00,ok,ana"), TIMES_OF_DAY)

    assert only_call(log).wait_ms == 0
    assert log.report.rows_noted == {"wait slightly negative, taken as 0": 1}


def test_answered_call_without_an_end_is_kept_for_its_wait(write: Writer) -> None:
    log = read_calls(write("c1,,gas,,2026-03-02,09:00:00,,09:00:09,,ok,ana"), TIMES_OF_DAY)

    assert (only_call(log).wait_ms, only_call(log).service_ms) == (9_000, 0)
    assert log.report.rows_noted == {"no service stated, taken as 0": 1}


def test_missing_columns_come_as_one_list_with_the_nearest_names(write: Writer) -> None:
    path = write(header="id,klient,kind,prio,day,announced,queue,answered,ended,outcome,agent")

    with pytest.raises(CallLogError) as raised:
        read_calls(path, TIMES_OF_DAY)

    problems = [(problem.field, problem.message) for problem in raised.value.problems]
    assert problems[:4] == [
        ("columns.arrived", "no column 'queued', did you mean 'queue'?"),
        ("columns.client_id", "no column 'client', did you mean 'klient'?"),
        ("columns.priority", "no column 'priority', did you mean 'prio'?"),
        ("outcomes.abandoned_needs", "no column 'queued', did you mean 'queue'?"),
    ]
    assert isinstance(raised.value, RouterError)
    assert "did you mean 'klient'?" in str(raised.value)


def test_wrong_delimiter_is_named(example_mapping: LogMapping, write: Writer) -> None:
    with pytest.raises(CallLogError, match="';': is `delimiter` right"):
        read_calls(write(), example_mapping)


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b\x08garbage", b"\x1f\x8b", gzip.compress(b"id,client\n" * 99, mtime=0)[:-9], b""]
)
def test_broken_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(content)

    with pytest.raises(CallLogError, match=r"log\.csv\.gz"):
        read_calls(path, TIMES_OF_DAY)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(CallLogError, match="No such file"):
        read_calls(tmp_path / "none.csv", TIMES_OF_DAY)
    with pytest.raises(CallLogError, match="No such file"):
        load_mapping(tmp_path / "none.toml")


def test_compression_is_told_by_content_not_by_name(write: Writer) -> None:
    path = write("c1,k1,gas,gold,2026-03-02,08:59:50,09:00:00,09:00:12,09:03:12,ok,ana")
    plain = read_calls(path, TIMES_OF_DAY)
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))

    assert read_calls(path, TIMES_OF_DAY) == plain


# Mappings


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("Europe/Rome", "Europe/Roma", "time_zone", "not a time zone"),
        ('"iso"', '"%Y-%m-%d %Q"', "time_format", "not a pattern of strptime"),
        ('answered = "Answered at"', "", "columns.wait_s", "declare it, or `answered` and `ended`"),
        ('"test"', '"served"', "outcomes", "'served' stands in more than one place"),
        ('priority = "Tier"', "", "head_start_s", "needs columns.priority"),
        ('delimiter = ";"', 'encoding = "utf-99"', "encoding", "not a text encoding"),
        ("delimiter", "delimeter", "", "unknown field `delimeter`"),
        ('country = "IT"', "", "", "missing required field `country`"),
        ("[columns]", "[columns", "", "ine 11"),
    ],
)
def test_faulty_mapping(tmp_path: Path, old: str, new: str, field: str, says: str) -> None:
    original = (Path(__file__).parents[2] / "config" / "logs" / "example.toml").read_text()
    assert old in original
    path = tmp_path / "faulty.toml"
    path.write_text(original.replace(old, new))

    with pytest.raises(CallLogError) as raised:
        load_mapping(path)

    assert [problem.field for problem in raised.value.problems] == [field]
    assert says in str(raised.value)
    assert raised.value.problems[0].where == str(path)


def test_example_log(example_log: CallLog) -> None:
    report = example_log.report

    assert (report.rows_read, report.rows_used, report.rows_refused) == (10, 9, 0)
    assert report.rows_ignored == {"Result test": 1}
    assert sum(call.answered for call in example_log.calls) == 7
    assert {call.call_id: call.head_start_s for call in example_log.calls if call.head_start_s} == {
        "T-1001": 60, "T-1004": 20, "T-1006": 60, "T-1007": 60, "T-1010": 20,
    }  # fmt: skip


def test_bank_log_has_the_known_figures(bank_log: CallLog) -> None:
    calls, report = bank_log.calls, bank_log.report
    answered = [call for call in calls if call.answered]

    assert (report.rows_read, report.rows_used, report.rows_refused) == (33_344, 31_125, 0)
    assert 1 - len(answered) / len(calls) == pytest.approx(0.1273, abs=0.00005)
    assert sum(call.wait_ms <= 20_000 for call in answered) / len(calls) == pytest.approx(0.521, abs=0.0005)
    assert sum(call.wait_ms for call in answered) / len(answered) == pytest.approx(40_800, abs=50)
    assert sum(call.service_ms for call in answered) / len(answered) == pytest.approx(176_400, abs=50)
    assert sum(call.agent_id is None for call in answered) == 491


# Fuzz

CELL = st.one_of(
    st.sampled_from(
        ["", "c1", "ok", "lost", "test", "2026-03-02", "09:00:00", "23:59:59", "00:00:01", '"', "nan", "inf"]
    ),
    st.text(max_size=8),
    st.integers().map(str),
)
ROWS = st.lists(st.lists(CELL, max_size=13).map(",".join), max_size=6)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda tail: b"\x1f\x8b" + tail)))
def test_any_bytes_are_read_or_refused(tmp_path: Path, example_mapping: LogMapping, content: bytes) -> None:
    path = tmp_path / "fuzz"
    path.write_bytes(content)

    for read in (lambda: read_calls(path, example_mapping), lambda: load_mapping(path)):
        with pytest.raises(CallLogError) as raised:
            read()
        assert all(isinstance(problem, Problem) for problem in raised.value.problems)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=ROWS,
    time_format=st.sampled_from(["%H:%M:%S", "iso", "epoch_s", "epoch_ms"]),
    compressed=st.booleans(),
    durations=st.booleans(),
)
def test_any_rows_are_used_ignored_or_refused(
    tmp_path: Path, rows: list[str], time_format: str, *, compressed: bool, durations: bool
) -> None:
    date_in = "day" if time_format == "%H:%M:%S" else None
    columns = TIMES_OF_DAY.columns
    if durations:
        columns = msgspec.structs.replace(columns, wait_s="announced", service_s="queued")
    mapping = msgspec.structs.replace(TIMES_OF_DAY, columns=columns, date=date_in, time_format=time_format)
    content = "\n".join((HEADER, *rows)).encode(errors="surrogatepass")
    path = tmp_path / "fuzz"
    path.write_bytes(gzip.compress(content, mtime=0) if compressed else content)

    log = read_calls(path, mapping)

    report = log.report
    assert report.rows_used == len(log.calls)
    assert report.rows_read == report.rows_used + report.rows_refused + sum(report.rows_ignored.values())
    for call in log.calls:
        assert call.arrived_ms >= 0
        assert 0 <= call.wait_ms <= 86_400_000
        assert 0 <= call.service_ms <= 86_400_000


def test_no_refusal_shows_a_number_that_stands_in_the_wrong_column(write: Writer) -> None:
    number = "+39 0999 87654321"
    for column in range(len(HEADER.split(","))):
        cells = ["c1", "k", "gold", "gold", "2024-03-04", "", "09:00:00", "09:00:10", "09:01:00", "ok", "ana"]
        cells[column] = number

        report = read_calls(write(",".join(cells)), TIMES_OF_DAY).report

        assert "87654321" not in str(report.lines())
    with pytest.raises(CallLogError) as refusal:
        read_calls(write(header=f"{HEADER},{number},{number}".replace("queued", number)), TIMES_OF_DAY)
    assert "87654321" not in str(refusal.value)


@pytest.mark.parametrize("start", ["", HEADER + "\n", HEADER + '\n"'], ids=["header", "row", "quoted"])
def test_line_that_never_ends_is_refused_before_it_fills_the_memory(tmp_path: Path, start: str) -> None:
    """100 MB of text, from 100 kB."""
    path = tmp_path / "log.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start.encode())
        for _ in range(100):
            file.write(b"," * 1_000_000)

    with pytest.raises(CallLogError, match="a row has more than 1,000,000 characters"):
        read_calls(path, TIMES_OF_DAY)


def test_row_that_runs_over_line_after_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + '\n"' + '\n","' * 500_000)

    with pytest.raises(CallLogError, match=r"after row .*: a row has more than"):
        read_calls(path, TIMES_OF_DAY)


def test_mapping_with_a_number_too_long_for_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text("tolerance_s = " + "9" * 5_000)

    with pytest.raises(CallLogError, match=r"mapping\.toml"):
        load_mapping(path)
