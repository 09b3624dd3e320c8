"""Questions to the index in SQL: DuckDB in memory, with no way to a file or the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
from msgspec import Struct

from gating.archive.scan import Scan
from gating.archive.store import ArchiveError
from gating.report.labels import Labels

if TYPE_CHECKING:
    import duckdb

VIEWS: Final = """
CREATE VIEW sessions AS
SELECT r.* EXCLUDE (targets, follows), l.patient, l.plan, l.fraction
FROM rows r JOIN states s USING (log, content_hash) LEFT JOIN labels l USING (log) WHERE s.state = 'present';
CREATE VIEW targets AS
SELECT s.log, s.session_id, s.patient, s.fraction, s.started_utc, s.strategy, s.version, s.tracker, s.config_hash,
s.sites, unnest(r.targets, recursive := true)
FROM sessions s JOIN rows r USING (log, content_hash);
CREATE VIEW holds AS
SELECT log, session_id, patient, fraction, started_utc, strategy, unnest(holds, recursive := true) FROM sessions;
CREATE VIEW files AS
SELECT r.log, s.state, r.content_hash, r.session_id, r.started_utc, r.indexed_utc, r.problem, r.cut
FROM rows r JOIN states s USING (log, content_hash);
"""
"""`sessions`, `targets` and `holds` show logs that are as they were indexed, each content once; `files` every row."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which sessions to look at; what is empty does not matter."""

    since: str = ""
    """First day or moment, ISO 8601, UTC."""
    until: str = ""
    """Day or moment before which they began."""
    patients: Sequence[str] = ()
    fractions: Sequence[str] = ()
    sites: Sequence[str] = ()
    strategies: Sequence[str] = ()
    versions: Sequence[str] = ()
    reasons: Sequence[str] = ()
    """The beam was held for one of them."""

    def in_words(self) -> list[str]:
        """Return what is wanted, one phrase for each condition."""
        given = msgspec.structs.asdict(self).items()
        return [f"{name} {said if isinstance(said, str) else ', '.join(said)}" for name, said in given if said]

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition on `sessions` and its parameters.

        Raises
        ------
        ArchiveError
            If a day is none.
        """
        conditions, values = ["problem = ''"], list[Any]()
        for name, sign, said in (("since", ">=", self.since), ("until", "<", self.until)):
            if said:
                conditions.append(f"started_utc {sign} ?")
                values.append(_moment(name, said))
        for column, wanted in (
            ("patient", self.patients), ("fraction", self.fractions), ("strategy", self.strategies),
            ("version", self.versions),
        ):  # fmt: skip
            if wanted:
                conditions.append(f"list_contains(?, {column})")
                values.append(list(wanted))
        if self.sites:
            conditions.append("list_has_any(sites, ?)")
            values.append(list(self.sites))
        if self.reasons:
            conditions.append("list_has_any(list_transform(holds, lambda h: h.reason), ?)")
            values.append(list(self.reasons))
        return " AND ".join(conditions), values


def _moment(name: str, said: str) -> datetime:
    try:
        return datetime.fromisoformat(said).replace(tzinfo=None)
    except ValueError:
        raise ArchiveError(f"{name} is {said!r}; a day such as 2026-03-01 is needed") from None


class Database:
    """The index in memory, as tables that can be asked; a context manager.

    Parameters
    ----------
    scan
        The rows, and what became of their logs.
    labels
        By log.
    """

    def __init__(self, scan: Scan, labels: Mapping[str, Labels]) -> None:
        import duckdb
        import pyarrow as pa

        states = pa.Table.from_pylist(msgspec.to_builtins(scan.states), _texts("log", "content_hash", "state"))
        named = [
            {"log": log, "patient": one.patient or None, "plan": one.plan or None, "fraction": one.fraction or None}
            for log, one in labels.items()
        ]
        tables = {
            "rows": scan.table,
            "states": states,
            "labels": pa.Table.from_pylist(named, _texts("log", "patient", "plan", "fraction")),
        }
        self._connection: duckdb.DuckDBPyConnection = duckdb.connect(":memory:")
        for name, table in tables.items():
            self._connection.from_arrow(table).create(name)
        self._connection.execute(VIEWS)
        self._connection.execute("SET enable_external_access = false; SET lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of our own query, by column."""
        found = self._connection.execute(sql, list(values))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a user's query: one SELECT, on the views and nothing else.

        Raises
        ------
        ArchiveError
            If it is another statement, or the database refuses it; its sentence.
        """
        import duckdb

        try:
            statements = self._connection.extract_statements(sql)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                raise ArchiveError("one SELECT is needed; the index is read and never written here")
            return self.rows(sql)
        except duckdb.Error as error:
            raise ArchiveError(str(error).partition("\n")[0]) from None

    def sessions(self, wanted: Filter) -> list[dict[str, Any]]:
        """Return the sessions that are wanted, as they began, with the largest motion of their targets.

        Raises
        ------
        ArchiveError
            If the filter is no good.
        """
        where, values = wanted.where()
        return self.rows(
            f"SELECT s.*, t.residual_p95_mm, t.free_p95_mm FROM (SELECT * FROM sessions WHERE {where}) s "  # noqa: S608 - our own text
            "LEFT JOIN (SELECT log, max(residual_p95_mm) AS residual_p95_mm, max(free_p95_mm) AS free_p95_mm "
            "FROM targets GROUP BY log) t USING (log) ORDER BY started_utc NULLS FIRST, log",
            values,
        )

    def targets(self, wanted: Filter) -> list[dict[str, Any]]:
        """Return the targets of the wanted sessions with their figures, in the same order."""
        where, values = wanted.where()
        return self.rows(
            f"SELECT * FROM targets WHERE log IN (SELECT log FROM sessions WHERE {where}) "  # noqa: S608 - our own text
            "ORDER BY started_utc NULLS FIRST, log, target",
            values,
        )


def _texts(*names: str) -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in names])
