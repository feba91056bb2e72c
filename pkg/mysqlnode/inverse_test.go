package mysqlnode

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// image is a row of which "NULL" is none.
func image(columns ...string) []cluster.Value {
	var out []cluster.Value
	for _, c := range columns {
		out = append(out, cluster.Value{Null: c == "NULL", Text: strings.TrimPrefix(c, "NULL")})
	}
	return out
}

func TestInverse(t *testing.T) {
	id := cluster.Column{Name: "id", Type: "int", Full: "int unsigned", Key: true}
	name := cluster.Column{Name: "na`me", Type: "varchar", Full: "varchar(9)", Charset: "utf8mb4"}
	fixed := cluster.Column{Name: "f", Type: "binary", Full: "binary(3)", Bytes: 3}
	ratio := cluster.Column{Name: "r", Type: "double", Full: "double"}
	made := cluster.Column{Name: "g", Type: "int", Full: "int", Generated: true}
	seen := cluster.Column{Name: "s", Type: "timestamp", Full: "timestamp"}
	doc := cluster.Column{Name: "d", Type: "json", Full: "json"}
	at := cluster.Table{Schema: "app", Name: "t"}
	of := func(columns ...cluster.Column) cluster.TableInfo {
		return cluster.TableInfo{Columns: columns, Engine: "InnoDB"}
	}
	with := func(t cluster.TableInfo, change func(*cluster.TableInfo)) cluster.TableInfo {
		change(&t)
		return t
	}
	for _, c := range []struct {
		name   string
		change cluster.Change
		table  cluster.TableInfo
		want   string
		no     string // a part of the error
	}{
		{name: "an insert", change: cluster.Change{Kind: cluster.Insert, After: image("-2147483648", "a'b", "x")}, table: of(id, name, fixed),
			want: "DELETE FROM `app`.`t` WHERE `id` = 2147483648 AND CAST(`na``me` AS BINARY) = X'612762' AND `f` = X'780000'"},
		{name: "a delete sets what the server does not compute", change: cluster.Change{Kind: cluster.Delete, Before: image("1", "NULL", "7")}, table: of(id, name, made),
			want: "INSERT INTO `app`.`t` SET `id` = 1, `na``me` = NULL"},
		{name: "an update sets what changed, and times", change: cluster.Change{Kind: cluster.Update, Before: image("1", "a", "2024-01-01 00:00:00"), After: image("1", "b", "2024-01-01 00:00:00")}, table: of(id, name, seen),
			want: "UPDATE `app`.`t` SET `na``me` = _utf8mb4 X'61', `s` = '2024-01-01 00:00:00' WHERE `id` = 1 AND CAST(`na``me` AS BINARY) = X'62' AND `s` = '2024-01-01 00:00:00'"},
		{name: "an update of nothing", change: cluster.Change{Kind: cluster.Update, Before: image("1"), After: image("1")}, table: of(id)},
		{name: "a float is told by the key", change: cluster.Change{Kind: cluster.Insert, After: image("1", "0.1")}, table: of(id, ratio),
			want: "DELETE FROM `app`.`t` WHERE `id` = 1"},
		{name: "a float without a key", change: cluster.Change{Kind: cluster.Insert, After: image("0.1")}, table: of(ratio), no: "no other primary key"},
		{name: "JSON is deleted", change: cluster.Change{Kind: cluster.Insert, After: image("1", "{}")}, table: of(id, doc), want: "DELETE FROM `app`.`t` WHERE `id` = 1"},
		{name: "JSON is not put back", change: cluster.Change{Kind: cluster.Delete, Before: image("1", "{}")}, table: of(id, doc), no: "cannot be put back"},
		{name: "no number", change: cluster.Change{Kind: cluster.Insert, After: image("1 OR 1")}, table: of(id), no: "no number"},
		{name: "images that lack columns", change: cluster.Change{Kind: cluster.Insert, After: image("1"), Partial: true}, table: of(id), no: "lack columns"},
		{name: "an altered table", change: cluster.Change{Kind: cluster.Insert, After: image("1")}, table: of(id, name), no: "altered"},
		{name: "no table", change: cluster.Change{Kind: cluster.Insert, After: image("1")}, no: "no such table"},
		{name: "another engine", change: cluster.Change{Kind: cluster.Insert, After: image("1")}, table: with(of(id), func(t *cluster.TableInfo) { t.Engine = "MyISAM" }), no: "undoes nothing"},
		{name: "triggers", change: cluster.Change{Kind: cluster.Insert, After: image("1")}, table: with(of(id), func(t *cluster.TableInfo) { t.Triggers = true }), no: "triggers"},
		{name: "a delete that was handed on", change: cluster.Change{Kind: cluster.Delete, Before: image("1")}, table: with(of(id), func(t *cluster.TableInfo) { t.Cascades = true }), no: "foreign keys"},
		{name: "an insert is never handed on", change: cluster.Change{Kind: cluster.Insert, After: image("1")}, table: with(of(id), func(t *cluster.TableInfo) { t.Cascades = true }), want: "DELETE FROM `app`.`t` WHERE `id` = 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change.Table = at
			got, err := Inverse(c.change, c.table)
			if c.no != "" {
				if err == nil || !strings.Contains(err.Error(), c.no) || got != "" {
					t.Errorf("%q, %v; want an error with %q", got, err, c.no)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
}
