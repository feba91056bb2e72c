package main

import "testing"

func TestQuantile(t *testing.T) {
	values := []float64{9, 1, 8, 2, 7, 3, 6, 4, 5, 10}
	for _, c := range []struct{ q, want float64 }{{0.5, 5}, {0.95, 10}, {0.9, 9}, {0, 1}, {1, 10}} {
		if got := quantile(values, c.q); got != c.want {
			t.Errorf("quantile %v of 1..10 is %v, want %v", c.q, got, c.want)
		}
	}
}
