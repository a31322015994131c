// What Grafana's data source and other users of clickhouse-go do at the door, over HTTP: `go run . HOST:PORT ADMIN
// ANALYST`, the last two being tokens. Says "ok NAME" or "not ok NAME: why" of each check; exit code 1 if any is not.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

const rows = 200_000

var identifier = uuid.MustParse("61f0c404-5cb3-11e7-907b-a6006ad3dba0")

func main() {
	address, admin, analyst := os.Args[1], os.Args[2], os.Args[3]
	ways := []struct {
		name   string
		method clickhouse.CompressionMethod
	}{
		{"", clickhouse.CompressionNone},
		{", gzip", clickhouse.CompressionGZIP},
		{", lz4", clickhouse.CompressionLZ4},
		{", zstd", clickhouse.CompressionZSTD},
	}
	failed := 0
	check := func(name string, run func() error) {
		if err := run(); err != nil {
			failed++
			fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
			return
		}
		fmt.Printf("ok %s\n", name)
	}
	check("tokens", func() error { return tokens(address, admin) })
	for _, way := range ways {
		connection, err := open(address, admin, way.method)
		if err != nil {
			fmt.Println("not ok:", err)
			os.Exit(1)
		}
		check("types"+way.name, func() error { return types(connection) })
		check("parameters"+way.name, func() error { return parameters(connection) })
		check("inserts"+way.name, func() error { return inserts(connection) })
		check("counts"+way.name, func() error { return counts(connection) })
		check("stream"+way.name, func() error { return stream(connection) })
		check("errors"+way.name, func() error { return failures(connection) })
		_ = connection.Close()
	}
	check("analyst", func() error { return analysts(address, analyst) })
	if failed > 0 {
		os.Exit(1)
	}
}

func open(address, token string, method clickhouse.CompressionMethod) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{address},
		Auth:        clickhouse.Auth{Database: "leadline", Username: "grafana", Password: token},
		Settings:    clickhouse.Settings{"max_execution_time": 20},
		DialTimeout: 10 * time.Second,
		Compression: &clickhouse.Compression{Method: method},
	})
}

func tokens(address, admin string) error {
	connection, err := open(address, admin, clickhouse.CompressionNone)
	if err != nil {
		return err
	}
	if err := connection.Ping(context.Background()); err != nil {
		return err
	}
	version, err := connection.ServerVersion()
	if err != nil {
		return err
	}
	if version.Version.Major < 26 {
		return fmt.Errorf("version %s", version)
	}
	guess, err := open(address, "guess", clickhouse.CompressionNone)
	if err != nil {
		return err
	}
	if err := guess.Ping(context.Background()); err == nil || !strings.Contains(err.Error(), "516") {
		return fmt.Errorf("a wrong token: %v", err)
	}
	return nil
}

func types(connection driver.Conn) error {
	sql := `SELECT toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), toDateTime64('2026-11-23 20:15:16.123456', 6, 'UTC'),
		toDateTime('2026-07-05 12:00:00', 'America/New_York'), toDecimal64('1234567.89', 2),
		'sold'::LowCardinality(String), NULL::LowCardinality(Nullable(String)), [1, 2]::Array(UInt32),
		[['é'], []]::Array(Array(String)), map('a', 1, 'b', 2)::Map(String, UInt64), (1, 'x')::Tuple(n UInt8, s String),
		18446744073709551615::UInt64, true, 'b'::Enum8('a' = 1, 'b' = 2), 1.5::Float64, 7::Nullable(Int32)`
	var (
		id      uuid.UUID
		at      time.Time
		local   time.Time
		price   decimal.Decimal
		stage   string
		nothing *string
		numbers []uint32
		nested  [][]string
		counts  map[string]uint64
		pair    map[string]any
		large   uint64
		yes     bool
		choice  string
		ratio   float64
		maybe   *int32
	)
	err := connection.QueryRow(context.Background(), sql).Scan(
		&id, &at, &local, &price, &stage, &nothing, &numbers, &nested, &counts, &pair, &large, &yes, &choice, &ratio, &maybe,
	)
	if err != nil {
		return err
	}
	return same(
		id, identifier,
		at.UTC().Format(time.RFC3339Nano), "2026-11-23T20:15:16.123456Z",
		local.UTC().Format(time.RFC3339), "2026-07-05T16:00:00Z",
		price.String(), "1234567.89",
		stage, "sold",
		nothing, (*string)(nil),
		numbers, []uint32{1, 2},
		nested, [][]string{{"é"}, {}},
		counts, map[string]uint64{"a": 1, "b": 2},
		pair, map[string]any{"n": uint8(1), "s": "x"},
		large, uint64(18446744073709551615),
		yes, true,
		choice, "b",
		ratio, 1.5,
		*maybe, int32(7),
	)
}

func parameters(connection driver.Conn) error {
	text := "it's \\ \"é\" ? -- "
	var (
		number uint64
		bound  string
		in     bool
	)
	sql := "SELECT toUInt64(?), ?, ? IN (?)"
	if err := connection.QueryRow(context.Background(), sql, 42, text, "a", []string{"a", "b"}).Scan(&number, &bound, &in); err != nil {
		return err
	}
	if err := same(number, uint64(42), bound, text, in, true); err != nil {
		return err
	}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithParameters(clickhouse.Parameters{"n": "42", "s": "é"}))
	if err := connection.QueryRow(ctx, "SELECT {n:UInt64}, {s:String}").Scan(&number, &bound); err != nil {
		return err
	}
	return same(number, uint64(42), bound, "é")
}

func inserts(connection driver.Conn) error {
	ctx := context.Background()
	for _, sql := range []string{
		"DROP TABLE IF EXISTS leadline.go",
		`CREATE TABLE leadline.go (id UUID, at DateTime64(3, 'UTC'), price Decimal(9, 2), stage LowCardinality(String),
			tags Array(String), note Nullable(String)) ENGINE = MergeTree ORDER BY at`,
	} {
		if err := connection.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, size := range []int{1000, 100_000} {
		batch, err := connection.PrepareBatch(ctx, "INSERT INTO leadline.go")
		if err != nil {
			return err
		}
		start := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
		for i := range size {
			var note *string
			if i%3 != 0 {
				text := fmt.Sprintf("n%d", i)
				note = &text
			}
			stage := []string{"sold", "it's \\ é"}[i%2]
			err := batch.Append(
				uuid.New(), start.Add(time.Duration(i)*time.Second), decimal.New(int64(i), -2), stage, []string{"a", fmt.Sprint(i)}, note,
			)
			if err != nil {
				return err
			}
		}
		if err := batch.Send(); err != nil {
			return err
		}
	}
	var count, odd, missing, agree, parts uint64
	sql := `SELECT count(), countIf(stage = 'it\'s \\ é'), countIf(note IS NULL), countIf(tags[2] = toString(toUInt32(price * 100))),
		uniqExact(_part) FROM leadline.go`
	if err := connection.QueryRow(ctx, sql).Scan(&count, &odd, &missing, &agree, &parts); err != nil {
		return err
	}
	if err := same(count, uint64(101_000), odd, uint64(50_500), missing, uint64(334+33_334), agree, count, parts <= 2, true); err != nil {
		return err
	}
	return connection.Exec(ctx, "DROP TABLE leadline.go")
}

// counts reads what comes in no block, in one, and with totals.
func counts(connection driver.Conn) error {
	for sql, expected := range map[string]int{
		"SELECT n FROM leadline.lead_events WHERE n > 100":                                0,
		"SELECT n FROM leadline.lead_events":                                              2,
		"SHOW TABLES FROM leadline LIKE 'none'":                                           0,
		"SHOW TABLES FROM leadline LIKE 'lead_events'":                                    1,
		"DESCRIBE TABLE leadline.lead_events":                                             3,
		"SELECT name, type FROM system.columns WHERE table = 'lead_events'":               3,
		"SELECT number, count() FROM numbers(100000) GROUP BY number WITH TOTALS":         100_000,
		"(SELECT number FROM numbers(100000)) UNION ALL (SELECT number FROM numbers(10))": 100_010,
	} {
		result, err := connection.Query(context.Background(), sql)
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		count := 0
		for result.Next() {
			count++
		}
		_ = result.Close()
		if err := result.Err(); err != nil || count != expected {
			return fmt.Errorf("%s: %d rows instead of %d, %v", sql, count, expected, err)
		}
	}
	return nil
}

func stream(connection driver.Conn) error {
	sql := fmt.Sprintf("SELECT number, toString(number), toDateTime64(number, 3, 'UTC'), [number] FROM numbers(%d)", rows)
	result, err := connection.Query(context.Background(), sql)
	if err != nil {
		return err
	}
	defer result.Close()
	var sum, lengths, count uint64
	for result.Next() {
		var (
			number uint64
			text   string
			at     time.Time
			list   []uint64
		)
		if err := result.Scan(&number, &text, &at, &list); err != nil {
			return err
		}
		sum += list[0]
		lengths += uint64(len(text))
		count++
	}
	if err := result.Err(); err != nil {
		return err
	}
	return same(count, uint64(rows), sum, uint64(rows)*(rows-1)/2, lengths, uint64(1_088_890))
}

func failures(connection driver.Conn) error {
	for sql, code := range map[string]int32{
		"SELECT * FROM leadline.nowhere":              60,
		"SELECT FROM WHERE":                           62,
		"SELECT missing FROM leadline.lead_events":    47,
		"SELECT throwIf(number = 3) FROM numbers(10)": 395,
		"SELECT sleepEachRow(1), 1 FROM numbers(3) SETTINGS max_execution_time = 1, max_block_size = 1": 159,
	} {
		if err := fails(connection, sql, code); err != nil {
			return err
		}
	}
	// In the middle, after rows have been read.
	sql := "SELECT throwIf(number = 1500000), repeat('x', 20) FROM numbers(2000000) SETTINGS max_threads = 1"
	result, err := connection.Query(context.Background(), sql)
	if err == nil {
		defer result.Close()
		for result.Next() {
		}
		err = result.Err()
	}
	if err == nil {
		return errors.New("an error in the middle passes for the end")
	}
	return nil
}

func analysts(address, analyst string) error {
	connection, err := open(address, analyst, clickhouse.CompressionGZIP)
	if err != nil {
		return err
	}
	var (
		sum   uint64
		stage string
	)
	sql := "SELECT sum(n), any(stage) FROM leadline.lead_events WHERE n < ?"
	if err := connection.QueryRow(context.Background(), sql, 100).Scan(&sum, &stage); err != nil {
		return err
	}
	if err := same(sum, uint64(3), stage, "sold"); err != nil {
		return err
	}
	for _, sql := range []string{
		"SELECT * FROM leadline.contacts",
		"INSERT INTO leadline.lead_events VALUES (9, 'x', 1)",
		"DROP TABLE leadline.lead_events",
	} {
		if err := fails(connection, sql, 497); err != nil {
			return err
		}
	}
	return nil
}

func fails(connection driver.Conn, sql string, code int32) error {
	result, err := connection.Query(context.Background(), sql)
	if err == nil {
		for result.Next() {
		}
		err = result.Err()
		_ = result.Close()
	}
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && exception.Code == code {
		return nil
	}
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Code: %d.", code)) && !strings.Contains(err.Error(), fmt.Sprintf("code: %d", code)) {
		return fmt.Errorf("%s: %v instead of code %d", sql, err, code)
	}
	return nil
}

// same compares what came with what was to come, two by two.
func same(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		if !reflect.DeepEqual(pairs[i], pairs[i+1]) {
			return fmt.Errorf("value %d is %#v instead of %#v", i/2, pairs[i], pairs[i+1])
		}
	}
	return nil
}
