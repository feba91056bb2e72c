package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/world"
)

// schedules gives the schedule of a seed.
type schedules func(seed uint64) world.Spec

// schedulesFor are the variants of the schedule that was made for a mutant, or those
// that the simulator draws; own tells which.
func schedulesFor(folder, name string) (_ schedules, own bool, err error) {
	text, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if os.IsNotExist(err) {
		return world.Draw, false, nil
	}
	var spec world.Spec
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the schedule of %s: %w", name, err)
	}
	return func(seed uint64) world.Spec { return variant(spec, seed) }, true, nil
}

// variant is spec with other delays, its faults and orders a little later or earlier.
func variant(spec world.Spec, seed uint64) world.Spec {
	r := rand.New(rand.NewPCG(seed, 0))
	about := func(d time.Duration, percent int64) time.Duration {
		span := int64(d) * percent / 100
		return d - time.Duration(span) + time.Duration(r.Int64N(2*span+1))
	}
	spec.Seed = seed
	spec.Faults = append([]world.Fault(nil), spec.Faults...)
	for i := range spec.Faults {
		f := &spec.Faults[i]
		if f.When == "" {
			f.At = about(f.At, 5)
		}
		f.After = about(f.After, 50)
	}
	spec.Operator = append([]world.Order(nil), spec.Operator...)
	for i := range spec.Operator {
		spec.Operator[i].At = about(spec.Operator[i].At, 5)
	}
	return spec
}

// found is what a hunt has come to.
type found struct {
	// Violation is nil when none was found.
	Violation *world.Violation `json:"violation"`
	// Seed is that of the last schedule, Ran how many there were.
	Seed uint64        `json:"seed"`
	Ran  uint64        `json:"ran"`
	Took time.Duration `json:"took"`
}

// hunt runs schedules from a seed on until a promise is broken, or so many were run,
// or the time is over.
func hunt(of schedules, from, most uint64, limit time.Duration) found {
	began := time.Now()
	f := found{}
	for f.Ran < most && (f.Ran == 0 || time.Since(began) < limit) {
		f.Seed = from + f.Ran
		f.Ran++
		if f.Violation = world.Run(of(f.Seed)).Violation; f.Violation != nil {
			break
		}
	}
	f.Took = time.Since(began)
	return f
}
