package exhaustive

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"time"
)

// aged are the fields that hold milliseconds of a clock.
var aged = []string{"seq", "began", "since", "Seq", "BeganMS", "EndedMS", "LastGoodMS", "UnansweredMS", "SampledMS", "FullMS"}

// unkept are the fields on which no decision rests: words for people, the times
// of a timeline and of what was left behind, the token (worlds count it from the newest one), and when views
// and reports were last heard of, which each decision sets anew.
var unkept = []string{"SinceMS", "RedisMS", "ViewEnds", "marks", "trails", "views", "reports", "Token", "token"}

var instant = reflect.TypeFor[time.Duration]()

// field is one of a struct, and how it counts: as it is, as an age, or as two
// when it is more than two.
type field struct {
	at int
	as int
}

const (
	asIs = iota
	asAge
	asFew
)

var fieldsOfType = map[reflect.Type][]field{}

// fieldsOf are the fields of a struct that count.
func fieldsOf(t reflect.Type) []field {
	all, known := fieldsOfType[t]
	if known {
		return all
	}
	for i := range t.NumField() {
		f := t.Field(i)
		number := f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.Int64 || f.Type.Kind() == reflect.Uint64
		switch {
		case slices.Contains(unkept, f.Name):
		case slices.Contains(aged, f.Name) && number:
			all = append(all, field{i, asAge})
		case f.Name == "samples" && number:
			all = append(all, field{i, asFew})
		default:
			all = append(all, field{i, asIs})
		}
	}
	fieldsOfType[t] = all
	return all
}

// appendKey writes what v holds so that equal values give equal bytes. Instants
// count by their age at now, as far as that matters.
func appendKey(b []byte, v reflect.Value, now time.Duration) []byte {
	switch v.Kind() {
	case reflect.Struct:
		b = append(b, '{')
		for _, f := range fieldsOf(v.Type()) {
			switch f.as {
			case asAge:
				ms := v.Field(f.at)
				if ms.CanInt() {
					b = appendAge(b, time.Duration(ms.Int())*time.Millisecond, now)
				} else {
					b = appendAge(b, time.Duration(ms.Uint())*time.Millisecond, now)
				}
			case asFew:
				b = binary.AppendVarint(b, min(2, v.Field(f.at).Int()))
			default:
				b = appendKey(b, v.Field(f.at), now)
			}
		}
		return append(b, '}')
	case reflect.Map:
		all := make([][]byte, 0, v.Len())
		for k, e := range v.Seq2() {
			all = append(all, appendKey(append(appendKey(nil, k, now), ':'), e, now))
		}
		slices.SortFunc(all, bytes.Compare)
		return append(append(append(b, '['), bytes.Join(all, []byte{','})...), ']')
	case reflect.Slice, reflect.Array:
		b = append(b, '(')
		for i := range v.Len() {
			b = append(appendKey(b, v.Index(i), now), ',')
		}
		return append(b, ')')
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(b, '-')
		}
		return appendKey(append(b, '*'), v.Elem(), now)
	case reflect.String:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...)
	case reflect.Bool:
		if v.Bool() {
			return append(b, 'y')
		}
		return append(b, 'n')
	}
	switch {
	case v.Type() == instant:
		return appendAge(b, time.Duration(v.Int()), now)
	case v.CanInt():
		return binary.AppendVarint(b, v.Int())
	case v.CanUint():
		return binary.AppendUvarint(b, v.Uint())
	}
	panic("no key for a " + v.Type().String())
}

// appendAge writes how long ago at is, as far as decisions tell it apart; 0
// means never.
func appendAge(b []byte, at, now time.Duration) []byte {
	switch {
	case at == 0:
		return append(b, '0')
	case at > now:
		return append(b, '>')
	case at == now:
		return append(b, '=')
	case now-at < while:
		return append(b, '<')
	}
	return append(b, '-')
}

func keyOf(v any, now time.Duration) string {
	return string(appendKey(nil, reflect.ValueOf(v), now))
}

// table numbers values, from 1 on; equal ones, by their keys, have one number.
type table[K comparable, T any] struct {
	numbers map[K]uint32
	all     []T
}

func newTable[K comparable, T any]() table[K, T] {
	return table[K, T]{numbers: map[K]uint32{}, all: make([]T, 1)}
}

func (t *table[K, T]) number(key K, v T) uint32 {
	n, known := t.numbers[key]
	if !known {
		n = uint32(len(t.all))
		t.numbers[key] = n
		t.all = append(t.all, v)
	}
	return n
}

func (t *table[K, T]) of(n uint32) T { return t.all[n] }

// memo keeps the results of a function.
type memo[K comparable, R any] map[K]R

func (m memo[K, R]) get(k K, make func() R) R {
	r, known := m[k]
	if !known {
		r = make()
		m[k] = r
	}
	return r
}
