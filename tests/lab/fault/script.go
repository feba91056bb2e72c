package fault

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Script is what happens in a row of rounds, over and over.
type Script []Plan

// Round is what happens in the n-th round, the first being 1.
func (s Script) Round(n int) Plan { return s[(n-1)%len(s)] }

// ParseScript reads a script: a line for each round, but for empty ones and for those that begin with #.
func ParseScript(text string) (Script, error) {
	var s Script
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		plan, err := Parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		s = append(s, plan)
	}
	if len(s) == 0 {
		return nil, fmt.Errorf("read script: it has no round")
	}
	return s, nil
}

const separator = "; "

// Parse reads what Plan.String gives, as in "stop server of active for 4s; slow mo1 (20) at 1.5s for 3s".
func Parse(text string) (Plan, error) {
	var plan Plan
	for part := range strings.SplitSeq(text, separator) {
		f, err := parseFault(part)
		if err != nil {
			return nil, fmt.Errorf("read fault %q: %w", part, err)
		}
		plan = append(plan, f)
	}
	return plan, nil
}

var form = regexp.MustCompile(`^(.+?)(?: \((\d+)\))?(?: at ([0-9.µa-z]+))? for ([0-9.µa-z]+)$`)

func parseFault(text string) (f Fault, err error) {
	part := form.FindStringSubmatch(text)
	if part == nil {
		return f, fmt.Errorf("it is no KIND [TARGET] [(AMOUNT)] [at TIME] for TIME")
	}
	what, amount, after, lasts := part[1], part[2], part[3], part[4]
	k, err := kindOf(what)
	if err != nil {
		return f, err
	}
	f.Kind, f.Target = k.name, strings.TrimPrefix(strings.TrimPrefix(what, k.name), " ")
	if amount != "" {
		if f.Amount, err = strconv.Atoi(amount); err != nil {
			return f, err
		}
	}
	if after != "" {
		if f.After, err = time.ParseDuration(after); err != nil {
			return f, err
		}
	}
	if f.Lasts, err = time.ParseDuration(lasts); err != nil {
		return f, err
	}
	switch {
	case f.After < 0 || f.Lasts < 0:
		return f, fmt.Errorf("a time is below nothing")
	case (f.Amount != 0) != (len(k.amounts) > 0):
		return f, fmt.Errorf("%s has an amount, or lacks one", f.Kind)
	}
	return f, nil
}

// kindOf finds the kind that a text begins with and that may happen to what follows.
func kindOf(text string) (kind, error) {
	known := false
	for _, k := range kinds {
		target, ok := strings.CutPrefix(text, k.name)
		switch {
		case !ok:
		case target == "" && len(k.targets) == 0, strings.HasPrefix(target, " ") && k.mayHit(target[1:]):
			return k, nil
		default:
			known = true
		}
	}
	if known {
		return kind{}, fmt.Errorf("it does not happen to that")
	}
	return kind{}, fmt.Errorf("there is no such kind of fault")
}

// mayHit also allows for what is never drawn among all faults.
func (k kind) mayHit(target string) bool {
	return slices.Contains(k.targets, target) || k.name == "kill" && target == allRedis || slices.Equal(k.targets, links) && slices.Contains(MonitorLinks, target)
}
