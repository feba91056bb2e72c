package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Secrets finds secrets in what r gives, by their place among those named and the
// line; each secret once. name says what was read.
func Secrets(r io.Reader, name string, secrets []string) []Finding {
	var found []Finding
	told := map[int]bool{}
	in := bufio.NewReaderSize(r, 64<<10)
	longest := 1
	for _, s := range secrets {
		longest = max(longest, len(s))
	}
	line := 1
	var before []byte // the end of what was looked at, where a secret may begin
	for {
		part, err := in.ReadSlice('\n')
		text := slices.Concat(before, part)
		for i, s := range secrets {
			if s != "" && !told[i] && bytes.Contains(text, []byte(s)) {
				told[i] = true
				found = append(found, Finding{"secrets", fmt.Sprintf("%s, line %d, holds secret %d of %d", name, line, i+1, len(secrets))})
			}
		}
		before = bytes.Clone(text[max(0, len(text)-longest+1):])
		switch {
		case err == nil:
			line++
		case errors.Is(err, io.EOF):
			return found
		case !errors.Is(err, bufio.ErrBufferFull):
			return append(found, Finding{"secrets", fmt.Sprintf("%s cannot be read: %v", name, err)})
		}
	}
}

// Sample is what a process takes up, when all is quiet.
type Sample struct {
	Threads int   `json:"threads"` // or goroutines
	FDs     int   `json:"fds"`
	RSS     int64 `json:"rss"` // bytes
}

// Growth finds processes that take up more in the end than in the beginning, by more than
// most allows of anything. Those that have no sample in the beginning are not judged; one that has
// none in the end is a finding.
func Growth(start, end map[string]Sample, most Sample) []Finding {
	var found []Finding
	for _, name := range slices.Sorted(maps.Keys(start)) {
		a, z := start[name], end[name]
		if _, ok := end[name]; !ok {
			found = append(found, Finding{"growth", name + " has no sample in the end"})
			continue
		}
		for _, of := range []struct {
			what            string
			from, to, bound int64
		}{
			{"threads", int64(a.Threads), int64(z.Threads), int64(most.Threads)},
			{"open files", int64(a.FDs), int64(z.FDs), int64(most.FDs)},
			{"bytes of memory", a.RSS, z.RSS, most.RSS},
		} {
			if of.to-of.from > of.bound {
				found = append(found, Finding{"growth", fmt.Sprintf("%s has gone from %d to %d %s; %d more are allowed", name, of.from, of.to, of.what, of.bound)})
			}
		}
	}
	return found
}
