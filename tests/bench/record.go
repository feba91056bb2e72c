package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What a run is one of.
type group struct {
	Server     string             `json:"server"` // mariadb, mysql
	Cause      string             `json:"cause"`
	Agents     string             `json:"agents"` // all, local
	Load       string             `json:"load"`   // idle, 500
	Durability cluster.Durability `json:"durability"`
	Timeout    float64            `json:"connect_timeout"` // seconds
}

// run is one measurement; times are milliseconds after the fault.
type run struct {
	group
	Version string `json:"version"`
	// Product is the version and commit of the programs that were measured.
	Product string `json:"product"`
	Cores   int    `json:"cores"`
	Memory  int    `json:"memory_gb"`
	Unix    int64  `json:"unix"`
	// Others is what others used of the machine's processors during the run, percent; nil where that is not known.
	Others *float64 `json:"others,omitempty"`
	// First is the first acknowledged write elsewhere, of a switchover the longest time in which no client had a write
	// acknowledged. Stayed says instead that the role stayed for as long as was waited.
	First  float64 `json:"first,omitempty"`
	Stayed bool    `json:"stayed,omitempty"`
	// Client is of a switchover the longest time that one client waited.
	Client float64            `json:"client,omitempty"`
	Floor  float64            `json:"floor,omitempty"`
	Steps  map[string]float64 `json:"steps,omitempty"`
	// Deeds are how long each thing took that agents did to the old and the new active.
	Deeds        map[string]float64 `json:"deeds,omitempty"`
	Proof        string             `json:"proof,omitempty"`
	Acknowledged int                `json:"acknowledged"`
	Lost         int                `json:"lost"`
	// Failed says why this run has no result: it counts as failed, and in nothing else.
	Failed  string `json:"failed,omitempty"`
	counted bool   // the rows were counted: whatever fails afterwards, the run has its result
}

// add appends a run to a file of JSON lines.
func add(path string, r run) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// load reads a file of JSON lines; one that is not there holds none.
func load(path string) ([]run, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	defer f.Close()
	var all []run
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r run
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read results, line %d of %s: %w", len(all)+1, path, err)
		}
		all = append(all, r)
	}
	return all, lines.Err()
}

// machine is this one's cores and memory in GB.
func machine() (cores, memory int) {
	data, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
			kb, _ := strconv.Atoi(fields[1])
			memory = (kb + 1<<19) >> 20
		}
	}
	return runtime.NumCPU(), memory
}
