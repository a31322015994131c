"""Forms at the door: queries and parameters as fields, and external data as files, as a ClickHouse server does."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.external import ExternalData
from kit.door import Answer, Warehouse, running
from urllib3.filepost import encode_multipart_formdata

from warehouse.embedded.tokens import Identity, Role, add

CSV = b'1,"a, b"\n2,\n'


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    file = tmp_path_factory.mktemp("forms") / "tokens"
    return {"": str(file)} | {role: add(file, Identity(Role(role), role)) for role in ("admin", "analyst")}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str]) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("forms")
    with running(
        folder / "db", folder / "ready", "--max-body-bytes", "4000000", LEADLINE_CLICKHOUSE_TOKENS=tokens[""]
    ) as server:
        key = {"X-ClickHouse-Key": tokens["admin"]}
        for sql in (
            "CREATE DATABASE leadline",
            "CREATE TABLE leadline.contacts (phone String) ENGINE = MergeTree ORDER BY phone",
            "INSERT INTO leadline.contacts VALUES ('+15550100')",
        ):
            assert server.send(body=sql.encode(), headers=key).status == 200
        yield server


class Sender:
    def __init__(self, server: Warehouse, key: str) -> None:
        self.server = server
        self.key = key

    def __call__(self, fields: dict[str, Any], *, packed: bool = False, **arguments: Any) -> Answer:
        body, content_type = encode_multipart_formdata(fields)
        headers = {"X-ClickHouse-Key": self.key, "Content-Type": content_type}
        if packed:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return self.server.send(body=body, headers=headers, **arguments)

    def value(self, fields: dict[str, Any], **arguments: Any) -> str:
        answer = self(fields, **arguments)
        assert answer.status == 200, answer.body
        return answer.body.decode().rstrip("\n")


@pytest.fixture(params=["admin", "analyst"])
def send(request: pytest.FixtureRequest, warehouse: Warehouse, tokens: dict[str, str]) -> Sender:
    return Sender(warehouse, tokens[request.param])


def code(answer: Answer) -> str:
    return answer.headers.get("x-clickhouse-exception-code", "0")


def test_a_query_its_parameters_and_settings_as_fields(send: Sender) -> None:
    fields = {
        "query": "SELECT {a:UInt8} + 1, {s:String}, getSetting('max_block_size')",
        "param_a": "41",
        "param_s": "é",
        "max_block_size": "7",
        "default_format": "CSV",
    }
    assert send.value(fields) == '42,"é",7'
    assert send.value(fields, packed=True, param_a=1, default_format="TSV") == "2\té\t7"
    assert code(send({"query": "SELECT nothing"})) == "47"
    assert code(send({"param_a": "1"})) == "62"


def test_external_data_by_structure_types_and_format(send: Sender) -> None:
    file = {"t": ("any.csv", CSV)}
    said = {"t_format": "CSV", "t_structure": "n UInt8, s LowCardinality(String)"}
    assert send.value(file, query="SELECT sum(n), max(s) FROM t", **said) == "3\ta, b"
    assert send.value(said | file, query="SELECT count() FROM t a JOIN t b USING n WHERE n IN t.n") == "2"
    assert send.value(file, query="SELECT _2 FROM t WHERE _1 = 1", t_format="CSV", t_types="UInt8,String") == "a, b"
    tsv = {"t": ("", b"1\tx\n"), "u": ("u", b"1\n2\n")}
    assert (
        send.value(tsv, query="SELECT s FROM u JOIN t USING n", t_structure="n UInt8,s String", u_structure="n UInt8")
        == "x"
    )
    assert send.value({"t": ("", b"")}, query="SELECT count() FROM t", t_types="String") == "0"


def test_external_data_is_in_the_order_of_the_file_and_streams_back(send: Sender) -> None:
    rows = 200_000
    data = "".join(f"{number}\n" for number in range(rows)).encode()
    answer = send({"t": ("t", data)}, query="SELECT * FROM t", t_types="UInt32", max_threads=1)
    assert answer.status == 200
    assert answer.body == data


def test_external_data_that_cannot_be_read_is_an_error(send: Sender) -> None:
    file = {"t": ("t", CSV)}
    assert code(send(file, query="SELECT 1")) == "36"
    assert code(send(file, query="SELECT 1", t_types="UInt8,String", t_format="No")) == "73"
    assert code(send(file, query="SELECT 1", t_types="UInt8,String", t_format="x'y")) == "36"
    assert code(send(file, query="SELECT 1", t_types="Nothing at all")) == "62"
    assert code(send(file, query="SELECT 1", t_types="Date,Date", t_format="CSV")) not in ("0", "1002")
    assert code(send({"t": ("t", b"x" * 4_000_001)}, query="SELECT 1", t_types="String")) == "229"
    assert code(send({"t": ("t", b"x" * 5_000_000)}, packed=True, query="SELECT 1", t_types="String")) == "229"
    broken = {"X-ClickHouse-Key": send.key, "Content-Type": "multipart/form-data; boundary=a"}
    assert code(send.server.send("SELECT 1", b"--a\r\n", headers=broken)) == "117"
    allowed = {"input_format_allow_errors_num": 1, "t_types": "UInt8,String", "t_format": "CSV"}
    assert send.value({"t": ("t", b"1,a\nx,b\n3,c\n")}, query="SELECT sum(_1) FROM t", **allowed) == "4"


def test_external_data_is_gone_after_its_statement(warehouse: Warehouse, tokens: dict[str, str]) -> None:
    send = Sender(warehouse, tokens["admin"])
    said = {"t_types": "UInt8,String", "t_format": "CSV", "session_id": "s"}
    for _ in range(2):
        assert send.value({"t": ("t", CSV)}, query="SELECT count() FROM t", **said) == "2"
    send.value({"t": ("t", CSV)}, query="CREATE TEMPORARY TABLE kept AS SELECT * FROM t", **said)
    assert code(send({"query": "SELECT count() FROM t"}, session_id="s")) == "60"
    assert send.value({"query": "SELECT count() FROM kept"}, session_id="s") == "2"
    clash = {"session_id": "s", "kept_types": "String"}
    assert code(send({"kept": ("kept", b"")}, query="SELECT 1", **clash)) == "57"
    assert send.value({"query": "SELECT count() FROM kept"}, session_id="s") == "2"


@pytest.mark.parametrize(
    "structure",
    [
        "n UInt8, s String DEFAULT file('/etc/hostname')",
        "n UInt8, s String DEFAULT (SELECT phone FROM leadline.contacts)",
        "n UInt8, s String MATERIALIZED file('/etc/hostname')",
        "n UInt8, s String ALIAS file('/etc/hostname')",
        "n UInt8) ENGINE = File(CSV) AS SELECT (1",
        "n Enum8(‘it's’ = 1), s String DEFAULT file('/etc/hostname') -- '",
    ],
)
def test_columns_of_an_analyst_run_nothing(warehouse: Warehouse, tokens: dict[str, str], structure: str) -> None:
    answer = Sender(warehouse, tokens["analyst"])(
        {"t": ("t", b'{"n": 1}')}, query="SELECT * FROM t", t_format="JSONEachRow", t_structure=structure
    )
    assert code(answer) == "497", answer.body


@pytest.mark.parametrize(
    "structure", ["n UInt8); DROP TABLE leadline.contacts; SELECT (1", "n UInt8); SELECT * FROM leadline.contacts -- "]
)
def test_columns_of_an_analyst_are_one_statement(warehouse: Warehouse, tokens: dict[str, str], structure: str) -> None:
    send = Sender(warehouse, tokens["analyst"])
    assert code(send({"t": ("t", b"")}, query="SELECT * FROM t", t_structure=structure)) == "62"
    assert Sender(warehouse, tokens["admin"]).value({"query": "SELECT count() FROM leadline.contacts"}) == "1"


def test_an_analyst_reads_no_more_with_a_table_of_its_own(warehouse: Warehouse, tokens: dict[str, str]) -> None:
    send = Sender(warehouse, tokens["analyst"])
    said = {"contacts_types": "String"}
    for sql in ("SELECT * FROM leadline.contacts", "SELECT * FROM contacts JOIN leadline.contacts AS c ON 1"):
        assert code(send({"contacts": ("c", b"x\n")}, query=sql, **said)) == "497"
    own = send({"contacts": ("c", b"x\n")}, query="SELECT * FROM contacts", database="leadline", **said)
    assert code(own) == "497"
    assert send.value({"contacts": ("c", b"x\n")}, query="SELECT * FROM contacts", **said) == "x"
    for sql in ("INSERT INTO contacts VALUES ('y')", "DROP TEMPORARY TABLE contacts"):
        assert code(send({"contacts": ("c", b"x\n")}, query=sql, **said)) == "497"
    file = {"input_format_record_errors_file_path": "/tmp/errors"}
    assert code(send({"contacts": ("c", b"x\n")}, query="SELECT 1", **said, **file)) == "164"


def test_external_data_of_the_python_client(warehouse: Warehouse, tokens: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(CSV)
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=warehouse.port, username="any", password=tokens["admin"], form_encode_query_params=True
    )
    data = ExternalData(str(file), fmt="CSV", structure=["n UInt8", "s String"])
    data.add_file(file_name="more", data=b"1\t2.5\n", types="UInt8,Float64")
    sql = "SELECT s, _2 FROM people JOIN more ON n = _1 WHERE n = {n:UInt8}"
    assert client.query(sql, parameters={"n": 1}, external_data=data).result_rows == [("a, b", 2.5)]
    client.close()
