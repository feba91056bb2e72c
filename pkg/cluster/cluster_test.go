package cluster

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"10.0.21.5:3308": "10.0.21.5:3308", " db1:03306 ": "db1:3306", "[::1]:3306": "[::1]:3306",
		"": "", "db1": "", "db1:": "", ":3306": "", "db1:0": "", "db1:65536": "", "db1:x": "",
		"db 1:3306": "", "db1,db2:3306": "", "a'b:1": "", "{u}:1": "", "1:2:3": "",
	} {
		got, err := ParseEndpoint(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseEndpoint(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	if e := Endpoint("[::1]:3306"); e.Host() != "::1" || e.Port() != 3306 {
		t.Errorf("host %q, port %d", e.Host(), e.Port())
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	type login struct {
		User     string
		Password Secret
	}
	l := login{"u", "hunter2"}
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		fmt.Sprint(l), fmt.Sprintf("%v %+v %#v %s %q %x", l, l, l, l.Password, l.Password, l.Password), string(text),
		fmt.Errorf("log in with %v", l.Password).Error(),
	} {
		if strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") {
			t.Errorf("printed: %s", got)
		}
	}
	if l.Password.Reveal() != "hunter2" {
		t.Error("the secret itself is lost")
	}
}

func TestOrders(t *testing.T) {
	ordered := []Order{{0, 0}, {1, 1}, {1, 2}, {2, 1}}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Before(b) != (i < j) {
				t.Errorf("%s before %s is %v", a, b, a.Before(b))
			}
		}
	}
}

func TestOnlySilenceMayBeDeath(t *testing.T) {
	for _, c := range []Cause{CauseAccessDenied, CauseTooMany, CauseHostBlocked, CauseOther, CauseUnreachable, CauseNone} {
		if c.MayBeDead() {
			t.Errorf("%q may be death", c)
		}
	}
	for _, p := range []Proof{ProofLegacy, RiskRefused, RiskHung, RiskHungUnasked, RiskSilent, RiskWaited, RiskUnseen, RiskBothOpen, ProofOperator} {
		if !p.IsRisk() {
			t.Errorf("%q is no risk", p)
		}
	}
	for _, p := range []Proof{ProofNone, ProofFenced, ProofGone, ProofLease} {
		if p.IsRisk() {
			t.Errorf("%q is a risk", p)
		}
	}
}

// People read more of a proof than what stands on the wire.
func TestALeaseThatIsOverIsSaid(t *testing.T) {
	if got := ProofLease.Words(); !strings.Contains(got, "leases are over") || got == string(ProofLease) {
		t.Errorf("words %q", got)
	}
}

func TestRecordsDifferInEveryField(t *testing.T) {
	differInEveryField(t, Verdict.Equal)
	differInEveryField(t, Assignment.Same)
}

func differInEveryField[T any](t *testing.T, same func(a, b T) bool) {
	all := reflect.TypeFor[T]()
	for i := range all.NumField() {
		var v, zero T
		fill(t, reflect.ValueOf(&v).Elem().Field(i))
		if same(v, zero) || !same(v, v) {
			t.Errorf("%s of %s is not compared", all.Field(i).Name, all.Name())
		}
	}
}

// fill puts something into v.
func fill(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("a field of kind %s", v.Kind())
	}
}

func TestAServerTakesAnothersPlace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		known string
		is    Server
		want  string
	}{
		{"nobody was known", "", Server{Identity: "a"}, ""},
		{"it does not say who it is", "a", Server{}, ""},
		{"the same", "3E11-fa47", Server{Flavor: MySQL, Identity: "3e11-fa47"}, ""},
		{"another server_uuid", "a", Server{Flavor: MySQL, Identity: "b"}, "its server_uuid is b, and was a"},
		{"another server_id", "1 uid", Server{Flavor: MariaDB, Identity: "2", UID: "uid"}, "its server_id is 2, and was 1"},
		{"another server_uid", "1 uid", Server{Flavor: MariaDB, Identity: "1", UID: "other"}, "its server_uid is other, and was uid"},
		{"a release that tells more", "1", Server{Flavor: MariaDB, Identity: "1", UID: "uid"}, ""},
		{"a release that tells less", "1 uid", Server{Flavor: MariaDB, Identity: "1"}, ""},
	} {
		got := tt.is.Replaces(tt.known)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if again := tt.is.Replaces(tt.is.Who()); again != "" {
			t.Errorf("%s: beside itself: %q", tt.name, again)
		}
	}
}
