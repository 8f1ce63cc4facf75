"""Statements that are parsed and planned once a session."""

import pytest
from django.db import DataError, connection, transaction

from cdp.kernel.prepared import PLAN_ONCE, Prepared, array, columns, rows_after, run
from tests.integration.conftest import rows

ADD = Prepared("test_add", ["bigint[]", "bigint[]"], "INSERT INTO pg_temp.number SELECT * FROM unnest($1, $2)")
HALVE = Prepared("test_halve", ["int"], "UPDATE pg_temp.number SET size = size / $1")
READ = Prepared("test_read", [], "SELECT id, size FROM pg_temp.number ORDER BY id")


@pytest.fixture
def table(database):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE number (id bigint, size bigint)")
    yield
    connection.close()


class TestPrepared:
    def test_runs_in_order_and_sees_what_came_before(self, table):
        found = rows_after([ADD.of(*columns([(1, 10), (2, -4)])), HALVE.of(2)], READ.of())

        assert found == [(1, 5), (2, -2)]
        assert run([ADD.of(array([3]), array([8])), HALVE.of(1)]) == 3
        assert run([]) == 0

    def test_is_kept_by_the_session_whatever_becomes_of_the_transaction(self, table):
        with pytest.raises(DataError), transaction.atomic():
            run([ADD.of("{1}", "{2}"), HALVE.of(0)])

        assert READ.rows() == []
        assert ("test_halve",) in rows("SELECT name FROM pg_prepared_statements")

    def test_is_prepared_again_in_another_session(self, table):
        one = Prepared("test_one", ["int"], "SELECT $1 + 1")
        assert one.rows(1) == [(2,)]
        connection.close()

        assert one.rows(2) == [(3,)]

    def test_is_planned_once_for_all_values_where_that_is_asked_for(self, table):
        with transaction.atomic():
            for number in range(3):
                run([PLAN_ONCE, ADD.of(array([number]), array([number]))])

        planned = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'test_add'"
        assert rows(planned) == [(3, 0)]
        assert rows("SHOW plan_cache_mode") == [("auto",)]
