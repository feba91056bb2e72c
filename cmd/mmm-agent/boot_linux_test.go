package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBootTimeIsTheMachinesUptime(t *testing.T) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Skip(err)
	}
	seconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	boot := bootTime()
	if got := boot().Seconds(); got < seconds || got > seconds+60 {
		t.Errorf("%.2f s since the machine started, which is up for %.2f s", got, seconds)
	}
	began, first := time.Now(), boot()
	for time.Since(began) < 5*time.Millisecond {
	}
	if took := boot() - first; took < 5*time.Millisecond {
		t.Errorf("5 ms took %s", took)
	}
}
