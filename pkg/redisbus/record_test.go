package redisbus

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A field that is added to the record and forgotten here would be lost without a word.
func TestEveryFieldOfTheRecordIsKept(t *testing.T) {
	full := cluster.Assignment{Phase: cluster.PhaseSteady}
	for i, v := 0, reflect.ValueOf(&full).Elem(); i < v.NumField(); i++ {
		switch f, name := v.Field(i), v.Type().Field(i).Name; {
		case !f.IsZero(), name == "SinceMS": // Redis writes that
		case f.Type() == reflect.TypeFor[cluster.Endpoint]():
			f.SetString(fmt.Sprintf("%c:1", 'a'+i))
		case f.Type() == reflect.TypeFor[[]cluster.Endpoint]():
			f.Set(reflect.ValueOf([]cluster.Endpoint{"x:1", "y:2"}))
		case f.Type() == reflect.TypeFor[map[cluster.Endpoint]string]():
			f.Set(reflect.ValueOf(map[cluster.Endpoint]string{"x:1": "1 AbC/+=", "[::1]:2": "3e11fa47-71ca-11e1-9e33-c80aa9429562"}))
		case f.Kind() == reflect.String:
			f.SetString(name)
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.CanInt():
			f.SetInt(int64(i + 1))
		case f.CanUint():
			f.SetUint(uint64(i + 1))
		default:
			t.Fatalf("no value for %s of %s", name, f.Type())
		}
	}
	stored, args := map[string]string{}, encodeAssignment(full)
	for i := 0; i < len(args); i += 2 {
		stored[args[i].(string)] = args[i+1].(string)
	}
	got, err := decodeAssignment(stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("written and read (-want +got):\n%s", diff)
	}
	// Same is what tells two records apart.
	for i, v := 0, reflect.ValueOf(&full).Elem(); i < v.NumField(); i++ {
		if v.Type().Field(i).Name == "SinceMS" {
			continue
		}
		other := full.Clone()
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		if full.Same(other) {
			t.Errorf("%s makes no difference", v.Type().Field(i).Name)
		}
	}
}
