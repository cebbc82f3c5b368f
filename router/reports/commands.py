"""``router report``: reports from the journal, also while a router is at work on it."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Generic, NamedTuple, TypeVar

import typer
from msgspec import Struct
from rich.console import RenderableType

from router.command_line import AsJson, Config, console, help_without_subcommand, print_json, working
from router.journal import JournalError
from router.journal_tools.verification import open_to_read
from router.reports.monthly import Grouping, Kept, Period, Report, agcom_report, portfolios_report
from router.reports.share import Counted, Days, ShareReport, share_report
from router.service.app import limits_of
from router.service.decider import Decider
from router.service.recovery import recover
from router.settings import load_settings

__all__ = ["report_app"]

report_app = typer.Typer(
    help="Reports from the journal: of whole months, and of contracts.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

_R = TypeVar("_R", bound=Struct)
InPeriod = Annotated[
    str, typer.Option("--period", metavar="PERIOD", help="A year, a half or a month: 2026, 2026-H1 or 2026-03.")
]
ToCsv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write it as CSV, a row a figure.")]
ToHtml = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write it as one page to read and to print.")
]
FromJournal = Annotated[
    Path | None,
    typer.Option(
        "--journal", metavar="FILE", help="The journal, such as one of router simulate.", show_default="as configured"
    ),
]


@report_app.callback()
def _report(context: typer.Context) -> None:
    help_without_subcommand(context)


@report_app.command()
def agcom(
    period: InPeriod,
    config: Config = Path(),
    company: Annotated[
        str | None, typer.Option(metavar="NAME", help="This client company alone.", show_default="all")
    ] = None,
    journal: FromJournal = None,
    json: AsJson = False,
    csv: ToCsv = None,
    html: ToHtml = None,
) -> None:
    """Waiting times and service levels by client company, with and without navigation.

    Of the period, the halves of a year and the months. Limits are those of the organisation's file.
    """
    months = Period.parse(period)
    _give(agcom_report(_kept(config, journal, quiet=json), months, company=company), json=json, csv=csv, html=html)


@report_app.command()
def portfolios(
    period: InPeriod,
    config: Config = Path(),
    by: Annotated[Grouping, typer.Option(help="What a row is about.")] = Grouping.TEAM,
    journal: FromJournal = None,
    json: AsJson = False,
    csv: ToCsv = None,
    html: ToHtml = None,
) -> None:
    """How much of the work of owned clients was done by their owners and backups."""
    months = Period.parse(period)
    _give(portfolios_report(_kept(config, journal, quiet=json), months, by=by), json=json, csv=csv, html=html)


@report_app.command()
def share(
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, local: 2017-05-04.")],
    until: Annotated[str, typer.Option("--until", metavar="DAY", help="The day after the last, local: 2018-05-04.")],
    config: Config = Path(),
    company: Annotated[
        str | None, typer.Option(metavar="NAME", help="This client company alone.", show_default="all")
    ] = None,
    journal: FromJournal = None,
    json: AsJson = False,
    csv: ToCsv = None,
    html: ToHtml = None,
) -> None:
    """Whether contracts have kept their share of work in the country, from any day to any other.

    By contract and month: the work, the share against its target, overrides and refusals, what is in no share and why,
    callers' requests for a place, corrections, and the versions of the organisation that were in force.
    """
    days = Days.parse(first, until)
    counted = _counted(config, journal, quiet=json)
    _give_share(share_report(counted, days, company=company), json=json, csv=csv, html=html)


def _kept(config: Path, journal: Path | None, *, quiet: bool) -> Kept:
    decider = _recovered(config, journal, quiet=quiet)
    engine = decider.engine
    return Kept(engine.tallies(), engine.counting_since_ms, decider.now_ms, decider.description)


def _counted(config: Path, journal: Path | None, *, quiet: bool) -> Counted:
    decider = _recovered(config, journal, quiet=quiet)
    engine, now_ms = decider.engine, decider.now_ms
    books = engine.books(now_ms=now_ms)
    return Counted(books, decider.versions, engine.counting_since_ms, now_ms, decider.description)


def _recovered(config: Path, journal: Path | None, *, quiet: bool) -> Decider:
    settings = load_settings(config, os.environ)
    file, shard = journal or settings.journal.file, settings.mqtt.shard
    with closing(open_to_read(file, shard)) as records, working("reading the journal", quiet):
        decider = recover(records, shard, limits=limits_of(settings))
    if decider is None:
        raise JournalError(f"journal {file} has no records of shard {shard} yet: start a router first")
    return decider


def _give(report: Report, *, json: bool, csv: Path | None, html: Path | None) -> None:
    # Not at the top: a template engine would make every command wait for it.
    from router.reports.pages import as_csv, as_page, as_view

    _write(report, _Forms(as_view, as_csv, as_page), json=json, csv=csv, html=html)


def _give_share(report: ShareReport, *, json: bool, csv: Path | None, html: Path | None) -> None:
    from router.reports.share_pages import share_as_csv, share_as_page, share_as_view

    _write(report, _Forms(share_as_view, share_as_csv, share_as_page), json=json, csv=csv, html=html)


class _Forms(NamedTuple, Generic[_R]):
    """How a report is shown on a terminal, and written."""

    view: Callable[[_R], RenderableType]
    csv: Callable[[_R], str]
    page: Callable[[_R], str]


def _write(report: _R, forms: _Forms[_R], *, json: bool, csv: Path | None, html: Path | None) -> None:
    from router.reports.pages import as_document

    if csv is not None:
        csv.write_text(forms.csv(report), encoding="utf-8", newline="")
    if html is not None:
        html.write_text(forms.page(report), encoding="utf-8", newline="")
    if json:
        print_json(as_document(report))
        return
    console.print(forms.view(report))
    for written in (csv, html):
        if written is not None:
            console.print(f"written to {written}", markup=False, soft_wrap=True)
