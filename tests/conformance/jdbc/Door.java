import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;

/**
 * What DBeaver, Metabase and other users of clickhouse-jdbc do at the door: {@code java -cp JARS Door.java URL ADMIN
 * ANALYST}, the last two being tokens. Says "ok NAME" or "not ok NAME: why" of each check; exit code 1 if any is not.
 */
public class Door {
    interface Check {
        void run() throws Exception;
    }

    private static final String UUID_TEXT = "61f0c404-5cb3-11e7-907b-a6006ad3dba0";
    private static final int ROWS = 200_000;
    private static int failed = 0;

    public static void main(String[] arguments) throws Exception {
        Class.forName("com.clickhouse.jdbc.Driver");
        String url = arguments[0];
        String admin = arguments[1];
        String analyst = arguments[2];
        check("tokens", () -> tokens(url, admin));
        for (String compressed : List.of("true", "false")) {
            try (Connection connection = open(url, admin, "compress", compressed)) {
                String with = compressed.equals("true") ? "" : ", uncompressed";
                check("metadata" + with, () -> metadata(connection));
                check("types" + with, () -> types(connection));
                check("parameters" + with, () -> parameters(connection));
                check("inserts" + with, () -> inserts(connection));
                check("stream" + with, () -> stream(connection));
                check("errors" + with, () -> errors(connection));
            }
        }
        check("analyst", () -> analyst(url, analyst));
        System.exit(failed == 0 ? 0 : 1);
    }

    private static void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Throwable error) {
            failed++;
            System.out.println("not ok " + name + ": " + error);
            error.printStackTrace();
        }
    }

    private static Connection open(String url, String token, String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "dbeaver");
        properties.setProperty("password", token);
        for (int i = 0; i < options.length; i += 2) {
            properties.setProperty(options[i], options[i + 1]);
        }
        return DriverManager.getConnection(url, properties);
    }

    private static void tokens(String url, String admin) throws SQLException {
        try (Connection connection = open(url, admin)) {
            same(true, connection.isValid(10));
        }
        SQLException refused = fails(() -> {
            try (Connection connection = open(url, "guess"); Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT 1");
            }
        });
        same(true, refused.toString().contains("516") || refused.getErrorCode() == 516);
    }

    /** As DBeaver: product, schemas, tables, columns, keys, types, and SQL of its own on the system tables. */
    private static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        same("ClickHouse", metadata.getDatabaseProductName());
        same(true, metadata.getDatabaseMajorVersion() >= 26);
        same(true, column(metadata.getSchemas(), "TABLE_SCHEM").containsAll(List.of("leadline", "system")));
        same(true, column(metadata.getTableTypes(), "TABLE_TYPE").contains("TABLE"));
        same(
            new TreeSet<>(List.of("lead_events", "leads")),
            new TreeSet<>(column(metadata.getTables(null, "leadline", "lead%", null), "TABLE_NAME")));
        List<String> columns = new ArrayList<>();
        try (ResultSet rows = metadata.getColumns(null, "leadline", "lead_events", "%")) {
            while (rows.next()) {
                columns.add(
                    rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME") + " " + rows.getInt("NULLABLE")
                        + " " + rows.getString("REMARKS"));
            }
        }
        same(List.of("n UInt64 0 Number", "stage LowCardinality(String) 0 ", "price Nullable(Decimal(9, 2)) 1 "), columns);
        same(List.of("n"), column(metadata.getPrimaryKeys(null, "leadline", "lead_events"), "COLUMN_NAME"));
        same(true, column(metadata.getTypeInfo(), "TYPE_NAME").contains("UInt64"));
        metadata.getFunctions(null, null, "%").close();
        metadata.getIndexInfo(null, "leadline", "lead_events", false, false).close();
        metadata.getImportedKeys(null, "leadline", "lead_events").close();
        try (Statement statement = connection.createStatement()) {
            ResultSet rows = statement.executeQuery("SELECT * FROM leadline.lead_events LIMIT 0");
            same(3, rows.getMetaData().getColumnCount());
            same("UInt64", rows.getMetaData().getColumnTypeName(1));
            rows = statement.executeQuery(
                "SELECT name, engine, total_rows, comment FROM system.tables WHERE database = 'leadline' ORDER BY name");
            same(true, rows.next());
        }
    }

    private static void types(Connection connection) throws SQLException {
        String sql =
            "SELECT toUUID('" + UUID_TEXT + "') AS id, toDateTime64('2026-11-23 20:15:16.123456', 6, 'UTC') AS at,"
                + " toDateTime('2026-07-05 12:00:00', 'America/New_York') AS local, toDate('2026-11-23') AS day,"
                + " toDecimal64('1234567.89', 2) AS price, toDecimal256('-0.000000000000000001', 18) AS tiny,"
                + " 'sold'::LowCardinality(String) AS stage, NULL::LowCardinality(Nullable(String)) AS nothing,"
                + " [1, 2, 3]::Array(UInt32) AS numbers, [['é'], []]::Array(Array(String)) AS nested,"
                + " map('a', 1, 'b', 2)::Map(String, UInt64) AS counts, (1, 'x')::Tuple(n UInt8, s String) AS pair,"
                + " 18446744073709551615::UInt64 AS large, true AS yes, 'b'::Enum8('a' = 1, 'b' = 2) AS choice,"
                + " toIPv4('127.0.0.1') AS address, 1.5::Float64 AS ratio, '\\0\\n é' AS bytes";
        try (Statement statement = connection.createStatement(); ResultSet row = statement.executeQuery(sql)) {
            same(true, row.next());
            same(UUID.fromString(UUID_TEXT), row.getObject("id"));
            same(
                LocalDateTime.parse("2026-11-23T20:15:16.123456"),
                row.getObject("at", ZonedDateTime.class).withZoneSameInstant(ZoneOffset.UTC).toLocalDateTime());
            same(
                LocalDateTime.parse("2026-07-05T16:00:00"),
                row.getObject("local", ZonedDateTime.class).withZoneSameInstant(ZoneOffset.UTC).toLocalDateTime());
            same("2026-11-23", row.getDate("day").toString());
            same(new BigDecimal("1234567.89"), row.getBigDecimal("price"));
            same(new BigDecimal("-0.000000000000000001"), row.getBigDecimal("tiny"));
            same("sold", row.getString("stage"));
            same(null, row.getString("nothing"));
            same(true, row.wasNull());
            same("[1, 2, 3]", list(row.getArray("numbers")));
            same("[[é], []]", list(row.getArray("nested")));
            same("{a=1, b=2}", new TreeMap<>((Map<?, ?>) row.getObject("counts")).toString());
            same("[1, x]", Arrays.toString((Object[]) row.getObject("pair")));
            same(new BigInteger("18446744073709551615"), row.getObject("large"));
            same(true, row.getBoolean("yes"));
            same("b", row.getString("choice"));
            same("127.0.0.1", ((java.net.InetAddress) row.getObject("address")).getHostAddress());
            same(1.5, row.getDouble("ratio"));
            same("\0\n é", row.getString("bytes"));
            same(false, row.next());
        }
    }

    private static void parameters(Connection connection) throws SQLException {
        String sql = "SELECT ? AS n, ? AS s, toUUID(?) AS id, ? AS price, toDateTime64(?, 3, 'UTC') AS at, ? AS nothing, ? IN (?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setLong(1, 42);
            statement.setString(2, "it's \\ \"é\" ? {n:UInt8} -- ");
            statement.setString(3, UUID_TEXT);
            statement.setBigDecimal(4, new BigDecimal("1.25"));
            statement.setTimestamp(5, Timestamp.from(ZonedDateTime.parse("2026-11-23T20:15:16.123Z").toInstant()));
            statement.setNull(6, Types.VARCHAR);
            statement.setString(7, "a");
            statement.setString(8, "a");
            statement.setString(9, "b");
            try (ResultSet row = statement.executeQuery()) {
                same(true, row.next());
                same(42L, row.getLong(1));
                same("it's \\ \"é\" ? {n:UInt8} -- ", row.getString(2));
                same(UUID.fromString(UUID_TEXT), row.getObject(3));
                same(0, new BigDecimal("1.25").compareTo(row.getBigDecimal(4)));
                same(null, row.getString(6));
                same(true, row.getBoolean(7));
            }
        }
    }

    private static void inserts(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS leadline.jdbc");
            statement.execute(
                "CREATE TABLE leadline.jdbc (id UUID, at DateTime64(3, 'UTC'), price Decimal(9, 2), stage"
                    + " LowCardinality(String), tags Array(String), note Nullable(String)) ENGINE = MergeTree ORDER BY at");
        }
        String sql = "INSERT INTO leadline.jdbc (id, at, price, stage, tags, note) VALUES (?, ?, ?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < 1000; i++) {
                statement.setObject(1, new UUID(0, i));
                statement.setObject(2, LocalDateTime.of(2026, 11, 23, 20, 0).plusSeconds(i));
                statement.setBigDecimal(3, BigDecimal.valueOf(i, 2));
                statement.setString(4, i % 2 == 0 ? "sold" : "it's \\ é");
                statement.setArray(5, connection.createArrayOf("String", new Object[] {"a", "b" + i}));
                statement.setString(6, i % 3 == 0 ? null : "n" + i);
                statement.addBatch();
            }
            same(1000, statement.executeBatch().length);
        }
        try (Statement statement = connection.createStatement()) {
            ResultSet row = statement.executeQuery(
                "SELECT count(), sum(price), countIf(stage = 'it\\'s \\\\ é'), countIf(note IS NULL), uniqExact(id),"
                    + " countIf(tags[2] = concat('b', toString(toUInt32(price * 100)))), max(at)::String FROM leadline.jdbc");
            same(true, row.next());
            same("1000 4995.00 500 334 1000 1000 2026-11-23 20:16:39.000", words(row, 7));
            statement.execute("DROP TABLE leadline.jdbc");
        }
    }

    private static void stream(Connection connection) throws SQLException {
        String sql =
            "SELECT number, toString(number) AS s, toDateTime64(number, 3, 'UTC') AS at, [number] AS list FROM numbers("
                + ROWS + ")";
        long sum = 0;
        long lengths = 0;
        int rows = 0;
        try (Statement statement = connection.createStatement(); ResultSet row = statement.executeQuery(sql)) {
            while (row.next()) {
                sum += row.getLong(1);
                lengths += row.getString("s").length();
                rows++;
            }
        }
        same(ROWS, rows);
        same((long) ROWS * (ROWS - 1) / 2, sum);
        same(1_088_890L, lengths);
        try (Statement statement = connection.createStatement()) {  // Left early; the next one is not disturbed.
            ResultSet row = statement.executeQuery(sql);
            same(true, row.next());
            row.close();
            row = statement.executeQuery("SELECT 7");
            same(true, row.next());
            same(7, row.getInt(1));
        }
    }

    private static void errors(Connection connection) throws SQLException {
        same(60, failsIn(connection, "SELECT * FROM leadline.nowhere"));
        same(62, failsIn(connection, "SELECT FROM WHERE"));
        same(47, failsIn(connection, "SELECT missing FROM leadline.lead_events"));
        same(159, failsIn(connection, "SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_execution_time = 1, max_block_size = 1"));
        same(395, failsIn(connection, "SELECT throwIf(number = 3) FROM numbers(10)"));
        try (Statement statement = connection.createStatement()) {  // In the middle, after rows have been read.
            SQLException broken = fails(() -> {
                ResultSet row = statement.executeQuery(
                    "SELECT throwIf(number = 1500000), repeat('x', 20) FROM numbers(2000000) SETTINGS max_threads = 1");
                while (row.next()) {
                    row.getString(2);
                }
            });
            same(true, broken != null);
        }
    }

    private static void analyst(String url, String analyst) throws SQLException {
        try (Connection connection = open(url, analyst)) {
            DatabaseMetaData metadata = connection.getMetaData();
            same(true, column(metadata.getSchemas(), "TABLE_SCHEM").contains("leadline"));
            same(true, column(metadata.getTables(null, "leadline", "%", null), "TABLE_NAME").contains("lead_events"));
            same(
                List.of("n", "stage", "price"),
                column(metadata.getColumns(null, "leadline", "lead_events", "%"), "COLUMN_NAME"));
            column(metadata.getPrimaryKeys(null, "leadline", "lead_events"), "COLUMN_NAME");
            column(metadata.getTypeInfo(), "TYPE_NAME");
            try (PreparedStatement statement =
                connection.prepareStatement("SELECT sum(n), any(stage) FROM leadline.lead_events WHERE n < ?")) {
                statement.setInt(1, 100);
                ResultSet row = statement.executeQuery();
                same(true, row.next());
                same("3 sold", words(row, 2));
            }
            same(497, failsIn(connection, "SELECT * FROM leadline.contacts"));
            same(497, failsIn(connection, "INSERT INTO leadline.lead_events VALUES (9, 'x', 1)"));
            same(497, failsIn(connection, "DROP TABLE leadline.lead_events"));
        }
    }

    private static int failsIn(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return fails(() -> {
                if (statement.execute(sql)) {
                    ResultSet rows = statement.getResultSet();
                    while (rows.next()) {
                        rows.getString(1);
                    }
                }
            }).getErrorCode();
        }
    }

    private static SQLException fails(Check check) {
        try {
            check.run();
        } catch (SQLException error) {
            return error;
        } catch (Exception error) {
            throw new AssertionError("no SQLException", error);
        }
        throw new AssertionError("it does not fail");
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }

    private static String words(ResultSet row, int columns) throws SQLException {
        List<String> values = new ArrayList<>();
        for (int i = 1; i <= columns; i++) {
            values.add(row.getString(i));
        }
        return String.join(" ", values);
    }

    private static String list(Array array) throws SQLException {
        return list(array.getArray());
    }

    private static String list(Object array) {
        List<String> values = new ArrayList<>();
        for (int i = 0; i < java.lang.reflect.Array.getLength(array); i++) {
            Object value = java.lang.reflect.Array.get(array, i);
            values.add(value != null && value.getClass().isArray() ? list(value) : String.valueOf(value));
        }
        return values.toString();
    }

    private static void same(Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError("expected " + expected + ", got " + actual);
        }
    }
}
